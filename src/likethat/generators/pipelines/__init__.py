"""Generators that somebody else trained: the pipelines of diffusers."""
