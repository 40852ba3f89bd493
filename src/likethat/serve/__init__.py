"""Banks as a site: browse them, drop a picture and read why."""

from likethat.serve.application import application
from likethat.serve.limits import Limits

__all__ = ["Limits", "application"]
