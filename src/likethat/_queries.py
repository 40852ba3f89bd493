"""Questions to a black box: never more than are allowed, counted, and told to whoever watches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs, take
from likethat._progress import Stage, Watcher


class Asked(Protocol):
    """A black box that knows its budget (`likethat.BlackBox`)."""

    @property
    def queries(self) -> int:
        """Count the rows that were answered."""
        ...

    @property
    def remaining(self) -> int | None:
        """How many rows may still be asked; None without a budget."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name every class, in the order of the answers."""
        ...

    def __call__(self, inputs: Inputs) -> Float[Tensor, "n cls"]:
        """Answer every row with the probabilities of all classes, or of all labels, or with its numbers."""
        ...

    def leading(self, inputs: Inputs, most: int | None = None) -> Float[Tensor, "n cls"]:
        """Answer the leading rows that the budget pays for, at most so many."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What came of a batch: its leading inputs that the budget allowed, and the answers to them.

    Attributes:
        inputs: that were asked.
        probabilities: (asked, class).
        at_query: how many queries had been spent when each was answered.
    """

    inputs: Inputs
    probabilities: Float[Tensor, "asked cls"]
    at_query: list[int]

    def __len__(self) -> int:
        return len(self.at_query)


@dataclass(kw_only=True, eq=False)
class QueryLog:
    """Asks for a search what it may.

    What was answered is kept by the search, which knows what belongs to it. The black box remembers all answers, and
    counts those of this search whether they were known or not (`BlackBox.afresh`): begun again, it goes on from where
    it was.

    Attributes:
        box: with the budget of the search.
        watch: told of the queries.
        budget: queries in all, for `watch`.
        until: stop at this many queries, though the budget may allow more.
        tell_how: what `tell` calls instead of saying how many queries were spent.
        stage: tells `watch` how many queries were spent, and how long the rest of them will take.
    """

    box: Asked
    watch: Watcher | None = None
    budget: int | None = None
    until: int | None = None
    tell_how: Callable[[], None] | None = None
    stage: Stage = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.stage = Stage("asking the model", self.watch, total=self.budget)

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be asked."""
        return self.box.remaining == 0 or (self.until is not None and self.box.queries >= self.until)

    def query(self, inputs: Inputs) -> Answers:
        """Return the answers to the leading inputs that may be asked; the caller keeps them, then calls `tell`."""
        before = self.box.queries
        found = self.box.leading(inputs, None if self.until is None else self.until - before)
        inputs = take(inputs, range(len(found))) if len(found) < len(inputs) else inputs
        at_query = [min(before + place + 1, self.box.queries) for place in range(len(found))]
        return Answers(inputs=inputs, probabilities=found, at_query=at_query)

    def tell(self) -> None:
        """Say how far it is; may raise to stop the search, so what was answered must be kept by now."""
        if self.tell_how is not None:
            self.tell_how()
        else:
            self.stage(self.box.queries, timed=self.timed)

    @property
    def timed(self) -> int:
        """How many questions took time: the answers to all others were known."""
        return self.box.queries - getattr(self.box, "recalled", 0)
