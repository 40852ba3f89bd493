"""What looks wrong with a model, how it is taken out, and what became of a model since."""

from likethat.auditing.audit import audit
from likethat.auditing.compare import compare
from likethat.auditing.repair import Repaired, repair

__all__ = ["Repaired", "audit", "compare", "repair"]
