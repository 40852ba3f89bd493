"""What a method returns and leaves on disk."""

from likethat.explanations.audit import Audit, Shortcut
from likethat.explanations.bank import Bank
from likethat.explanations.comparison import Comparison
from likethat.explanations.exemplars import ExemplarSet, Film
from likethat.explanations.explanation import Explanation
from likethat.explanations.images import ImageStore
from likethat.explanations.opening import open, open_bank
from likethat.explanations.records import Box, Contribution, Prototype, Provenance

__all__ = [
    "Audit",
    "Bank",
    "Box",
    "Comparison",
    "Contribution",
    "ExemplarSet",
    "Explanation",
    "Film",
    "ImageStore",
    "Prototype",
    "Provenance",
    "Shortcut",
    "open",
    "open_bank",
]
