"""EPIC: prototypes of a pretrained network, without retraining it."""

from likethat.explainers.epic.method import EPIC

__all__ = ["EPIC"]
