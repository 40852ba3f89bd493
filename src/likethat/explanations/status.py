"""Whether a search reached what it was asked for, and what to do if not."""

from dataclasses import dataclass

__all__ = ["Status"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a search ended.

    Attributes:
        reached: whether everything asked for was found.
        reason: "reached", "budget", "no progress", "interrupted", ...: one word or two for a table.
        advice: a sentence on what came and what to try; empty where all was reached.
    """

    reached: bool
    reason: str
    advice: str = ""

    def __bool__(self) -> bool:
        return self.reached

    def __str__(self) -> str:
        return self.reason if self.reached or not self.advice else f"{self.reason}: {self.advice}"
