"""The methods as their papers have them: to compare with, and for who wants exactly those; ours are in `explainers`."""

from likethat.papers.epic import EPIC
from likethat.papers.freemcg import FreeMCG
from likethat.papers.parts import PartPrototypes
from likethat.papers.prodg import ProDG

__all__ = ["EPIC", "FreeMCG", "PartPrototypes", "ProDG"]
