"""The methods; each file reads as its paper, and none imports another; `explain` chooses among them."""

from likethat.explainers.choosing import explain
from likethat.explainers.epic.method import EPIC
from likethat.explainers.exemplars.method import Exemplars
from likethat.explainers.freemcg.method import FreeMCG
from likethat.explainers.many import explain_all
from likethat.explainers.parts.method import PartPrototypes
from likethat.explainers.prodg.method import ProDG

__all__ = ["EPIC", "Exemplars", "FreeMCG", "PartPrototypes", "ProDG", "explain", "explain_all"]
