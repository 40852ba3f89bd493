"""What looks wrong with a model, and how it is taken out."""

from likethat.auditing.audit import audit
from likethat.auditing.repair import Repaired, repair

__all__ = ["Repaired", "audit", "repair"]
