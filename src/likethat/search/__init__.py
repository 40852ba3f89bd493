"""Searches: they know arrays, never models."""

from likethat.search.topk import top_rows

__all__ = ["top_rows"]
