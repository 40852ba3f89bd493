"""Many searches that ask one model: they run in turns, and one call answers what all of them ask next."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs, digests, join_inputs, names_of, take
from likethat._jointly import take_turns
from likethat.errors import LikethatError
from likethat.models.black_box.box import BlackBox
from likethat.models.black_box.budget import Account
from likethat.models.black_box.oracle import Oracle

T = TypeVar("T")
_UNIT = 16
"""Rows that a batch is a multiple of: processors round rows alike then, whatever else is asked with them. Measured on
five networks of torch (rows differed in batches below 16) and eight classifiers (the last row of 13, 15, 17 and 33)."""


@dataclass(kw_only=True, eq=False)
class _Turn:
    """One search in a thread of its own, which runs only while it has the turn.

    Attributes:
        place: of the search among all.
        asks: what it waits for an answer to, with its digests; None while it runs, and when it has ended.
        wants: what it wants computed jointly, and of which rows; the same.
        given: what was computed for it, or went wrong.
        found: what it returned, or raised.
    """

    place: int
    mine: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asks: tuple[Inputs, Sequence[bytes]] | None = None
    wants: tuple[Callable[..., Any], tuple[Any, ...]] | None = None
    given: Any = None
    stops: bool = False
    has_ended: bool = False
    found: Any = None

    def give_away(self) -> None:
        """Give the turn away until it comes again.

        Raises:
            KeyboardInterrupt: all searches are to stop.
        """
        self.back.release()
        self.mine.acquire()
        self.asks = self.wants = None
        if self.stops:
            raise KeyboardInterrupt

    def compute(self, function: Callable[..., Any], rows: tuple[Any, ...]) -> Any:
        """Wait until something was computed with what others want of it (`jointly`)."""
        self.wants = function, rows
        self.give_away()
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


class _Gathered:
    """Stands before the oracle of a black box: a search that asks gives its turn away until all others ask too."""

    def __init__(self, oracle: Oracle, account: Account) -> None:
        self._oracle, self._account = oracle, account
        self._here = threading.local()
        self.promised = 0  # rows that waiting searches are about to ask

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def enter(self, turn: _Turn) -> None:
        """Note whose thread this is."""
        self._here.turn = turn

    def affordable(self, inputs: Inputs, account: Account, keys: Sequence[bytes] | None = None) -> int:
        """Return how many leading rows an account can pay for, beside what others are about to ask."""
        keys, left = keys or digests(inputs), self._account.remaining
        n = self._oracle.affordable(inputs, account, keys)
        if left is None:
            return n
        return min(n, self._oracle.affordable(inputs, Account(max(0, left - self.promised)), keys))

    def ask(self, inputs: Inputs, account: Account, keys: Sequence[bytes] | None = None) -> Float[Tensor, "n cls"]:
        """Wait until the question was asked with those of others, then look the answers up.

        Raises:
            KeyboardInterrupt: all searches are to stop.
        """
        turn: _Turn = self._here.turn
        keys = keys or digests(inputs)
        n_new = self._oracle.n_new(keys)
        if n_new:
            turn.asks = inputs, keys
            self.promised += n_new
            turn.give_away()
        return self._oracle.ask(inputs, account, keys)

    def answer(self, turns: list[_Turn]) -> None:
        """Ask the model what all of these wait for, all of one shape and type in one call."""
        alike: dict[Any, list[tuple[Inputs, Sequence[bytes]]]] = {}
        for turn in turns:
            if turn.asks is not None:
                alike.setdefault(_type_of(turn.asks[0]), []).append(turn.asks)
        try:
            for questions in alike.values():
                joined = join_inputs([inputs for inputs, _ in questions])
                self._answer(joined, [key for _, keys in questions for key in keys])
        finally:
            self.promised = 0

    def _answer(self, inputs: Inputs, keys: list[bytes]) -> None:
        """Ask what the budget allows; what the model refuses, each search finds out by itself."""
        n = self._oracle.affordable(inputs, self._account, keys)
        if n:
            with suppress(LikethatError):  # one bad row is no reason for others to fail: whoever asked it asks again
                some = take(inputs, range(n)) if n < len(inputs) else inputs
                self._oracle.ask(some, self._account, keys[:n])


def _type_of(inputs: Inputs) -> Any:
    """Return what batches share that can be joined with every number left as it is."""
    if isinstance(inputs, Tensor):
        return inputs.dtype, inputs.device, inputs.shape[1:]
    return "text" if isinstance(inputs, list) else (*names_of(inputs.columns), *inputs.dtypes)


def together(
    box: BlackBox, n: int, search: Callable[[BlackBox, int], T], *, at_once: int
) -> Iterator[tuple[int, T | Exception]]:
    """Run searches 0 ... n - 1 of one black box in turns, and yield each one's place and result when it ends.

    No two run at the same time: each has the turn until it asks or ends. When all that are under way have asked, the
    model answers them in one call. Searches see what they would see alone, so each ends as it would have.

    Args:
        box: shared; its budget, its memory and its rate limit are those of all searches together.
        n: searches in all.
        search: called with a view of `box` and a place.
        at_once: searches under way at the same time.

    Yields:
        Results in the order in which they end; an exception instead where a search raised one.

    Raises:
        KeyboardInterrupt: by Ctrl-C while the model was asked; searches under way have ended before, and were yielded.
    """
    gathered, unit = _Gathered(box.oracle, box.account), box.oracle.unit
    box.oracle.unit = _UNIT
    view = box.through(gathered)
    waiting, stop = iter(range(n)), None
    living: list[_Turn] = []
    try:
        while True:
            while stop is None and len(living) < at_once and (place := next(waiting, None)) is not None:
                living.append(_started(gathered, view, search, place))
            for turn in living:
                turn.stops = turn.stops or stop is not None
                _run(turn)
            while wanting := [turn for turn in living if turn.wants is not None]:
                _compute(wanting)
                for turn in wanting:
                    _run(turn)
            ended, living = [turn for turn in living if turn.has_ended], [turn for turn in living if not turn.has_ended]
            for turn in ended:
                yield turn.place, turn.found
            if not living and (stop is not None or len(ended) == 0):
                break
            if living and stop is None:
                try:
                    gathered.answer(living)
                except KeyboardInterrupt as signal:
                    stop = signal
    finally:
        box.oracle.unit = unit
        for turn in living:  # whoever took the results has gone: they end when they ask next
            turn.stops = True
            turn.mine.release()
    if stop is not None:
        raise stop


def _started(gathered: _Gathered, view: BlackBox, search: Callable[[BlackBox, int], Any], place: int) -> _Turn:
    turn = _Turn(place=place)

    def work() -> None:
        turn.mine.acquire()
        gathered.enter(turn)
        take_turns(turn.compute)
        try:
            turn.found = search(view, place)
        except BaseException as error:  # told where all others are told
            turn.found = error
        turn.has_ended = True
        turn.back.release()

    threading.Thread(target=work, name=f"likethat-search-{place}", daemon=True).start()
    return turn


def _compute(turns: list[_Turn]) -> None:
    """Compute what all of these want, each thing once, of the rows of all who want it."""
    alike: dict[Callable[..., Any], list[_Turn]] = {}
    for turn in turns:
        assert turn.wants is not None
        alike.setdefault(turn.wants[0], []).append(turn)
    for function, some in alike.items():
        given = [turn.wants[1] for turn in some if turn.wants is not None]
        try:
            found = function(*map(_joined, zip(*given, strict=True)))
            ends = list(accumulate((len(rows[0]) for rows in given), initial=0))
            parts = [take(found, range(*bounds)) for bounds in pairwise(ends)]
        except LikethatError:  # one bad row is no reason for others to fail
            parts = [_alone(function, rows) for rows in given]
        for turn, part in zip(some, parts, strict=True):
            turn.given = part


def _joined(parts: Sequence[Any]) -> Any:
    return torch.cat(list(parts)) if isinstance(parts[0], Tensor) else np.concatenate(parts)


def _alone(function: Callable[..., Any], rows: tuple[Any, ...]) -> Any:
    try:
        return function(*rows)
    except Exception as error:
        return error


def _run(turn: _Turn) -> None:
    """Give a search the turn, and wait until it asks or ends."""
    turn.mine.release()
    turn.back.acquire()
