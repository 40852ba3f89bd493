"""Searches: they know arrays, never models."""

from likethat.search.base import Goal, Known, Prior, Problem, Search, Strategy
from likethat.search.cmaes import CMAES
from likethat.search.evolution import Evolution
from likethat.search.goals import HighResponse, Probabilities
from likethat.search.gradient import GradientAscent
from likethat.search.sampling import PriorSampling
from likethat.search.surrogate import Surrogate
from likethat.search.topk import top_rows, varying_units

__all__ = [
    "CMAES",
    "Evolution",
    "Goal",
    "GradientAscent",
    "HighResponse",
    "Known",
    "Prior",
    "PriorSampling",
    "Probabilities",
    "Problem",
    "Search",
    "Strategy",
    "Surrogate",
    "top_rows",
    "varying_units",
]
