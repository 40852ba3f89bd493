"""What would have to be different for another class: the inputs found, and how the search went."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import Inputs, Kind, join_inputs, kind_of, take
from likethat._options import shown
from likethat._responses import Measured
from likethat._status import Status
from likethat.errors import InputError
from likethat.explanations.result import Result, fields_of, input_columns
from likethat.explanations.saved import write_result


@dataclass(frozen=True, kw_only=True)
class Change:
    """One column (or one word for another) that differs from the source.

    Attributes:
        name: of the column; "" in a text.
        before: the source's value, None where it is missing; of a text the words that go, "" where words only come.
        after: the counterfactual's; of a text the words that come.
        way: "up" or "down" where the column has an order, "later" or "earlier" of dates, else "".
        oddness: of a text: how much worse it reads by this, in nats: 0 as before, about 4 a random word; None where
            nobody judged it.
        place: of a text: where the words that go begin in the source, in characters; -1 elsewhere.

    Example:
        >>> print(Change(name="income", before=None, after=160))
        income is filled in: 160
        >>> print(Change(name="grade", before="B", after="A", way="up"))
        grade moves up from B to A
    """

    name: str
    before: Any
    after: Any
    way: str = ""
    oddness: float | None = None
    place: int = -1

    def __str__(self) -> str:
        if self.place >= 0:
            return _words_changed(self.before, self.after)
        if self.before is None:
            return f"{self.name} is filled in: {_value(self.after)}"
        if self.after is None:
            return f"{self.name} is left empty; it was {_value(self.before)}"
        if self.way and not _are_numbers(self.before, self.after):
            return f"{self.name} moves {self.way} from {self.before} to {self.after}"
        if isinstance(self.before, str) or isinstance(self.after, str) or not _are_numbers(self.before, self.after):
            return f"{self.name} changes from {self.before} to {self.after}".strip()
        way = "rises" if self.after > self.before else "falls"
        return f"{self.name} {way} from {_number(self.before)} to {_number(self.after)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Edit:
    """An input near the source, with what the model says of it.

    Attributes:
        input: a batch of one: an image (1, channel, height, width), a table of one row, or one text.
        probabilities: (class,) of the model; of a model of numbers those.
        l1: distance from the source: mean absolute difference of pixels; of columns in units of their spread, with 1
            for another category; share of words that differ.
        l2: root of the mean squared difference, of the same things.
        is_valid: whether the model gives it to the target (to any other class, where none was named).
        changes: what differs, of tables and texts; empty for images.
        broken: dependences of the table that it breaks, in words: only those that the source breaks too.
        share_as_odd: share of real rows that are as unlikely, or more, in [0, 1]; of tables whose generator knows.
        value: the number asked about; None where that was a class.
    """

    input: Inputs
    probabilities: Float[NDArray[np.float64], " cls"]
    l1: float
    l2: float
    is_valid: bool
    changes: tuple[Change, ...] = ()
    broken: tuple[str, ...] = ()
    share_as_odd: float | None = None
    value: float | None = None

    @property
    def predicted(self) -> int:
        """The class that the model gives it."""
        return int(self.probabilities.argmax())


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What a confidence costs a row of a table.

    Attributes:
        confidence: of the target, against the next class.
        n_columns: fewest columns that change, among all rows that were asked and could be real.
        l1: distance of that row, see `Edit.l1`.
    """

    confidence: float
    n_columns: int
    l1: float


@dataclass(frozen=True, kw_only=True, eq=False)
class SearchPath:
    """How the search went, one entry an input asked.

    Attributes:
        queries: queries used when the answer came.
        probability: of the target (of all classes but the source's, where none was named); the number asked about,
            where that was no class.
        distance: from the source, see `Edit.l1`.
    """

    queries: Int[NDArray[np.int64], " asked"]
    probability: Float[NDArray[np.float64], " asked"]
    distance: Float[NDArray[np.float64], " asked"]


@public
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class Counterfactual(Result):
    """Inputs near a source that the model gives to another class, or of which a number of its answer is another.

    Attributes:
        source: a batch of one.
        source_probabilities: (class,) of the model; of a model of numbers those.
        target: class wanted; None for any but the source's, or where `measured` says what is.
        class_names: of the model.
        edits: the counterfactuals found, nearest first; empty where the target was not reached.
        best: the nearest of them, else what came nearest to the target.
        mean: the mean of the particles that arrived, the paper's result; None where there is none.
        real: the nearest real input that was found of the class wanted, for texts; None where there is none.
        mask: where an image was allowed to change, (height, width); None for everywhere.
        path: how the search went.
        queries: asked in this search.
        seconds: it took.
        status: whether all that was asked for was found.
        model: printable name of the black box.
        generator: printable name of the generator or denoiser.
        rule: how particles were moved.
        seed: of the search.
        options: of the search, as plain values.
        notes: sentences for the reader.
        n_dependences: of the table, that were looked at; see `Edit.broken`.
        curve: what each confidence costs, of tables, up to the highest that was reached.
        measured: the number that was asked about, and where it shall lie; None where that was a class.
    """

    source: Inputs
    source_probabilities: Float[NDArray[np.float64], " cls"]
    target: int | None
    class_names: tuple[str, ...]
    edits: tuple[Edit, ...]
    best: Edit
    mean: Edit | None
    mask: NDArray[np.bool_] | None
    path: SearchPath
    queries: int
    seconds: float
    status: Status
    model: str
    generator: str
    rule: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    n_dependences: int = 0
    curve: tuple[Demand, ...] = ()
    real: Edit | None = None
    measured: Measured | None = None

    def _line(self) -> str:
        found = f"{len(self.edits)} found, nearest {self.best.l1:.3g}" if self.edits else "none found"
        return (
            f"<Counterfactual of {self.source_name!r} for {self.target_name!r} of {self.model}: "
            f"{found}, {self.queries} queries, {self.status.reason}>"
        )

    @property
    def kind(self) -> Kind:
        """Images, a table, or texts."""
        return kind_of(self.source)

    @property
    def source_class(self) -> int:
        """The class that the model gives the source; of labels the likeliest, of numbers the largest."""
        return int(self.source_probabilities.argmax())

    @property
    def source_name(self) -> str:
        """The class of the source, or the number that it has, in words."""
        if self.measured is not None:
            return f"{self.measured.name} {self.measured.number(float(self.path.probability[0]))}"
        return self.class_names[self.source_class]

    @property
    def target_name(self) -> str:
        """The target's name, "anything but …", or where a number shall lie."""
        if self.measured is not None:
            return str(self.measured)
        if self.target is None:
            return f"anything but {self.class_names[self.source_class]}"
        return self.class_names[self.target]

    def probability(self, edit: Edit) -> float:
        """Return the probability of what was wanted; the number asked about, where that was no class."""
        if edit.value is not None:
            return edit.value
        if self.target is None:
            return float(1 - edit.probabilities[self.source_class])
        return float(edit.probabilities[self.target])

    def difference(self, edit: Edit | None = None) -> Float[NDArray[np.float32], "channel height width"]:
        """Return what was added to (above 0) or taken from (below 0) each pixel of the source, of an image."""
        if edit is not None and not isinstance(edit, Edit):
            raise InputError(f"`edit` must be one of `edits`, or None for the best, got {shown(edit)}.")
        changed = (self.best if edit is None else edit).input
        if not isinstance(changed, Tensor) or not isinstance(self.source, Tensor):
            raise InputError(f"a difference of pixels needs images, got a {self.kind}. See edit.changes.")
        found: NDArray[np.float32] = (changed - self.source)[0].float().cpu().numpy()
        return found

    def frames(self, n: int = 12) -> Float[NDArray[np.float32], "frame channel height width"]:
        """Return the film of the change: blends from the source to the best edit, of an image."""
        check_count(n, name="n")
        if not isinstance(self.source, Tensor):
            raise InputError(f"a film needs images, got a {self.kind}. See edit.changes.")
        source = self.source[0].float().cpu().numpy()
        shares = np.linspace(0, 1, n, dtype=np.float32)[:, None, None, None]
        film: NDArray[np.float32] = source + shares * self.difference()
        return film

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_result(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        names = {"target_name": self.target_name, "source_class": self.source_class, "input_kind": self.kind}
        return {**vars(self), **names}

    def _columns(self) -> dict[str, Any]:
        return {
            "predicted": [self.class_names[edit.predicted] for edit in self.edits],
            "probability": [self.probability(edit) for edit in self.edits],
            "probability_of": [self.target_name] * len(self.edits),
            **fields_of(self.edits, ("l1", "l2", "is_valid")),
            "broken": [len(edit.broken) for edit in self.edits],
            "changes": ["; ".join(map(str, edit.changes)) for edit in self.edits],
            **input_columns(join_inputs([take(self.source, []), *(edit.input for edit in self.edits)])),
        }


def _words_changed(before: str, after: str) -> str:
    if before and after:
        return f"“{before}” becomes “{after}”"
    return f"“{before}” goes" if before else f"“{after}” comes in"


def _are_numbers(*values: Any) -> bool:
    return all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_) for value in values
    )


def _value(value: Any) -> str:
    return _number(value) if _are_numbers(value) else str(value)


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{float(value):.4g}"
