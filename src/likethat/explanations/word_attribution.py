"""Which words of a text speak for a class and which against it, with how sure that is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from likethat._calls import public
from likethat._responses import Measured
from likethat._status import Status
from likethat.errors import InputError
from likethat.explanations.result import Result
from likethat.explanations.saved import write_result


@public
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class WordAttribution(Result):
    """How much each word of a text adds to the log-odds of a class, or to a number of the model's answer.

    A value is the mean effect of a word while a share of the others, `hidden_share`, is gone; under another share it is
    another number. Of a long text, words that do not matter much stand together in groups, each with one value.

    Attributes:
        text: what is explained.
        starts: (piece,) where each word or group begins in it, in characters.
        stops: (piece,) where it ends.
        values: (piece,) how much each adds to the target's log-odds; below 0 it speaks against it.
        error: (piece,) standard error of each value; on real reviews 90 to 92 of 100 values lay within 1.96 of
            them (`benchmarks/texts.py`).
        hidden_share: of the words, that each question left out.
        probabilities: (class,) of the model for the text itself.
        target: class explained; 0 where `measured` says what is.
        class_names: of the model.
        queries: asked.
        seconds: it took.
        status: whether anything was found.
        model: printable name of the black box.
        seed: of the masks.
        options: as plain values.
        notes: sentences for the reader.
        measured: the number that is explained; None where that is a class.
        value: of that number, as the model answers; None where a class is explained.
    """

    text: str
    starts: Int[NDArray[np.int64], " _"]
    stops: Int[NDArray[np.int64], " _"]
    values: Float[NDArray[np.float64], " _"]
    error: Float[NDArray[np.float64], " _"]
    hidden_share: float
    probabilities: Float[NDArray[np.float64], " cls"]
    target: int
    class_names: tuple[str, ...]
    queries: int
    seconds: float
    status: Status
    model: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        sizes = {len(one) for one in (self.starts, self.stops, self.values, self.error)}
        if len(sizes) > 1:
            raise InputError(f"an attribution must have as many values as pieces, got {sorted(sizes)}.")

    def _line(self) -> str:
        return (
            f"<WordAttribution of {self.target_name!r} for {self.model}: {int(self.is_clear.sum())} of "
            f"{len(self.values)} pieces clear, {self.queries} queries, {self.status.reason}>"
        )

    @property
    def pieces(self) -> tuple[str, ...]:
        """The words and groups of words."""
        return tuple(self.text[start:stop] for start, stop in zip(self.starts, self.stops, strict=True))

    @property
    def target_name(self) -> str:
        """The target's class name, or the name of the number that is explained."""
        if self.measured is not None:
            return self.measured.name
        return self.class_names[self.target]

    @property
    def is_clear(self) -> NDArray[np.bool_]:
        """Whether each value differs from 0 by more than two standard errors, (piece,)."""
        clear: NDArray[np.bool_] = np.abs(self.values) > 2 * self.error
        return clear

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_result(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        return {**vars(self), "target_name": self.target_name, "pieces": self.pieces}

    def _columns(self) -> dict[str, Any]:
        order = np.argsort(-np.abs(self.values), kind="stable")
        names = ("starts", "stops", "values", "error", "is_clear")
        pieces = self.pieces
        return {"piece": [pieces[place] for place in order]} | {name: getattr(self, name)[order] for name in names}
