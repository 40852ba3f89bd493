"""What looks wrong with a model, and how it is taken out."""

from likethat.auditing.audit import audit

__all__ = ["audit"]
