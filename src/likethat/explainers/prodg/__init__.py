"""ProDG: prototypes with no data at all, made by a generator from the weights of the model alone."""

from likethat.explainers.prodg.method import ProDG

__all__ = ["ProDG"]
