"""What was asked about one text, in order: nothing is asked twice, and never more than the budget allows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._queries import QueryLog


@dataclass(kw_only=True, eq=False)
class AskedTexts(QueryLog):
    """The texts asked so far, with their answers.

    Attributes:
        margin: of answers (n, cls): how far each is on the wanted side, (n,).
        texts: in order.
        answers: to them, (cls,) each.
        at_query: how many queries had been spent then.
    """

    margin: Callable[[Tensor], Tensor]
    texts: list[str] = field(default_factory=list)
    answers: list[Tensor] = field(default_factory=list)
    at_query: list[int] = field(default_factory=list)

    def __call__(self, texts: Sequence[str]) -> list[float]:
        """Return the margins of the leading texts that the budget allows."""
        batch = list(texts)
        found = self.query(batch)
        if not len(found):
            return []
        self.texts += batch[: len(found)]
        self.answers += list(found.probabilities)
        self.at_query += found.at_query
        self.tell()
        margins: list[float] = self.margin(found.probabilities).tolist()
        return margins

    @property
    def probabilities(self) -> Float[Tensor, "n cls"]:
        """Of everything asked."""
        return torch.stack(self.answers)

    @property
    def margins(self) -> Float[Tensor, " n"]:
        """Of everything asked."""
        return self.margin(self.probabilities)
