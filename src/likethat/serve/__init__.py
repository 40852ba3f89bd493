"""Banks as a site: browse them, drop a picture and read why; and the same by the protocols of inference servers."""

from likethat.serve.application import application
from likethat.serve.limits import Limits

__all__ = ["Limits", "application"]
