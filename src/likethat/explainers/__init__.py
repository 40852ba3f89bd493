"""The methods; each file reads as its paper, and none imports another."""

from likethat.explainers.epic import EPIC
from likethat.explainers.parts import PartPrototypes

__all__ = ["EPIC", "PartPrototypes"]
