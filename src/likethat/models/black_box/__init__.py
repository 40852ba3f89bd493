"""What is only a prediction function: asked, counted, remembered, never looked into."""

from likethat.models.black_box.box import BlackBox
from likethat.models.black_box.door import Door, Facts

__all__ = ["BlackBox", "Door", "Facts"]
