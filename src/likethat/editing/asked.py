"""What was asked about one text, in order: nothing is asked twice, and never more than the budget allows."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs
from likethat._progress import Progress, Watcher

__all__ = ["Asked", "Box"]


class Box(Protocol):
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

    def affordable(self, inputs: Inputs) -> int:
        """Count the rows of a batch, from the first, that the budget still pays for."""
        ...

    def __call__(self, inputs: Inputs) -> Float[Tensor, "n cls"]:
        """Answer every row with the probabilities of all classes."""
        ...


class Asked:
    """The texts asked so far, with their answers.

    Args:
        box: with the budget of this search.
        margin: of answers (n, cls): how far each is on the wanted side, (n,).
        watch: told of the questions.
        budget: in all, for `watch`.
    """

    def __init__(
        self,
        box: Box,
        margin: Callable[[Tensor], Tensor],
        *,
        watch: Watcher | None = None,
        budget: int | None = None,
    ) -> None:
        self.box, self._margin, self._watch, self._budget = box, margin, watch, budget
        self.texts: list[str] = []
        self.answers: list[Tensor] = []
        self.at_query: list[int] = []

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return the margins of the leading texts that the budget allows."""
        batch = list(texts)
        n = self.box.affordable(batch)
        if not n:
            return []
        before = self.box.queries
        found = self.box(batch[:n])
        self.texts += batch[:n]
        self.answers += list(found)
        self.at_query += [min(before + place + 1, self.box.queries) for place in range(n)]
        if self._watch is not None:
            self._watch(Progress(stage="asking the model", done=self.box.queries, total=self._budget))
        margins: list[float] = self._margin(found).tolist()
        return margins

    @property
    def probabilities(self) -> Float[Tensor, "n cls"]:
        """Of everything asked."""
        return torch.stack(self.answers)

    @property
    def margins(self) -> Float[Tensor, " n"]:
        """Of everything asked."""
        return self._margin(self.probabilities)
