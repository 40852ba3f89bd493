"""What is only a prediction function: asked, counted, remembered, never looked into."""

from likethat.models.black_box.backend import Backend, Facts
from likethat.models.black_box.box import BlackBox, box_for

__all__ = ["Backend", "BlackBox", "Facts", "box_for"]
