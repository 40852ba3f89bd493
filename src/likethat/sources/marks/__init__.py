"""Marks of parts on images, as annotation tools write them."""

from likethat.sources.marks.marks import Marks

__all__ = ["Marks"]
