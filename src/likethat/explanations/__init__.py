"""What a method returns and leaves on disk."""

from likethat.explanations.bank import Bank
from likethat.explanations.exemplars import ExemplarSet, Film
from likethat.explanations.explanation import Explanation
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Box, Contribution, Prototype, Provenance
from likethat.explanations.storage import open_bank

__all__ = [
    "Bank",
    "Box",
    "Contribution",
    "ExemplarSet",
    "Explanation",
    "Film",
    "ImageStore",
    "Prototype",
    "Provenance",
    "open_bank",
]
