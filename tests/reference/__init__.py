"""Slow twins: the papers' formulas in plain loops, to compare with."""
