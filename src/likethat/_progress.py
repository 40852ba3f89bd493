"""How long work tells whoever watches; the library itself prints nothing."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "Watcher"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one stage of a long piece of work has come.

    Attributes:
        stage: what is being done, e.g. ``"reading images"``.
        done: units finished.
        total: units in all; None where that is not known (a stream).
        seconds_left: an estimate for the whole work; None while there is none.
    """

    stage: str
    done: int
    total: int | None = None
    seconds_left: float | None = None


Watcher = Callable[[Progress], None]
"""Called with each `Progress`; raising from it stops the work as Ctrl-C does."""
