"""Searches: they know arrays, never models."""

from likethat.search.topk import top_rows, varying_units

__all__ = ["top_rows", "varying_units"]
