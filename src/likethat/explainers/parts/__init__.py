"""Post-hoc part prototypes: every class's head vector split exactly into parts."""

from likethat.explainers.parts.method import PartPrototypes

__all__ = ["PartPrototypes"]
