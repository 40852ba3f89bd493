"""The methods; each file reads as its paper, and none imports another."""

from likethat.explainers.epic import EPIC

__all__ = ["EPIC"]
