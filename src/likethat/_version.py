"""The version: here alone, where every floor, the wheel and the sdist read it."""

__version__ = "0.1.0"
