"""Exemplars: inputs made to be typical of a response, by asking the model and nothing else."""

from likethat.explainers.exemplars.method import Exemplars

__all__ = ["Exemplars"]
