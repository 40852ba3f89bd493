"""Signed heat maps from outputs alone: the loop that asks; `changes` and `hiding` say what, and read the answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._queries import QueryLog
from likethat._status import Reason, Status, ended

_ROUND = 16  # the fewest questions of a round, and the fewest answers that say anything


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """What each pixel adds to the number explained, (height, width), with its standard error."""

    values: Float[Tensor, "height width"]
    error: Float[Tensor, "height width"]
    spread_of_answers: float
    n_answers: int
    is_stopped: bool = False

    def status(self) -> Status:
        """Return whether there was anything to see."""
        if self.is_stopped:
            return ended("heat map", Reason.INTERRUPTED)
        if self.n_answers < _ROUND:
            return ended("heat map", Reason.BUDGET, answers=self.n_answers)
        return ended("heat map", Reason.REACHED if self.spread_of_answers > 1e-9 else Reason.CONSTANT)


class Reading(Protocol):
    """What is asked, and the map that the answers make."""

    first: int
    answers: Float[Tensor, " n"]

    def ask(self, n: int) -> Float[Tensor, "n channel height width"]:
        """Return the next pictures to ask about."""
        ...

    def add(self, answers: Float[Tensor, " answered"]) -> None:
        """Take in what was answered to the leading ones of the pictures asked about last."""
        ...

    def map(self) -> tuple[Float[Tensor, "height width"], Float[Tensor, "height width"]]:
        """Return what each pixel adds, and its standard error."""
        ...


def heat_map(
    image: Float[Tensor, "channel height width"],
    log: QueryLog,
    explained: Callable[[Tensor], Tensor],
    reading: Reading,
) -> HeatMap:
    """Ask in rounds, each for what the answers before leave open, and read the map.

    Args:
        image: what is explained.
        log: the model, with its budget.
        explained: answers (n, cls) to the number that is explained, (n,): the log-odds of a class.
        reading: what is asked, and what the answers say.
    """
    is_stopped = False
    try:
        _fill(reading, log, explained)
    except KeyboardInterrupt:
        if len(reading.answers) < _ROUND:
            raise
        is_stopped = True
    if len(reading.answers) < _ROUND:
        nothing = torch.zeros(image.shape[1:], dtype=torch.float32)
        return HeatMap(values=nothing, error=nothing + torch.inf, spread_of_answers=0, n_answers=len(reading.answers))
    values, error = reading.map()
    spread, n = float(reading.answers.std()), len(reading.answers)
    return HeatMap(values=values, error=error, spread_of_answers=spread, n_answers=n, is_stopped=is_stopped)


def _fill(reading: Reading, log: QueryLog, explained: Callable[[Tensor], Tensor]) -> None:
    """Ask until the budget ends, or all that there is to ask is known."""
    while True:
        n = max(_ROUND, len(reading.answers) // 3) if len(reading.answers) else reading.first
        changed, before = reading.ask(n), log.box.queries
        found = log.query(changed)
        if len(found):
            reading.add(explained(found.probabilities))
        log.tell()
        if len(found) < n or log.box.queries == before:  # nothing new was asked: of one colour, or a few pixels large
            return
