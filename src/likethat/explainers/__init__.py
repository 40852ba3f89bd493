"""The methods; each file reads as its paper, and none imports another."""

from likethat.explainers.epic import EPIC
from likethat.explainers.exemplars import Exemplars
from likethat.explainers.freemcg import FreeMCG
from likethat.explainers.parts import PartPrototypes
from likethat.explainers.prodg import ProDG

__all__ = ["EPIC", "Exemplars", "FreeMCG", "PartPrototypes", "ProDG"]
