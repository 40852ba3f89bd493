"""A black box that looks its answers up, and an archive of what was asked of it."""

import torch
from torch import Tensor

from likethat.explainers.freemcg.log import Archive

ANSWERS = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.6, 0.4]], dtype=torch.float64)


class Budgeted:
    """What a black box of two classes says of its budget."""

    class_names = ("no", "yes")

    def __init__(self, budget: int | None = None) -> None:
        self.budget, self.queries = budget, 0

    @property
    def remaining(self) -> int | None:
        return None if self.budget is None else self.budget - self.queries

    def leading(self, inputs: Tensor, most: int | None = None) -> Tensor:
        ends = [len(inputs), most, self.remaining]
        n = max(0, min(end for end in ends if end is not None))
        return self(inputs[:n]) if n else torch.zeros(0, 2, dtype=torch.float64)

    def __call__(self, inputs: Tensor) -> Tensor:
        raise NotImplementedError


class Told(Budgeted):
    """A black box that looks its answers up: the input's number is the row of the table."""

    def __init__(self, budget: int | None = None, *, answers: Tensor = ANSWERS, free: int = 0) -> None:
        super().__init__(budget)
        self.answers, self.free = answers, free

    def __call__(self, inputs: Tensor) -> Tensor:
        self.queries += max(0, len(inputs) - self.free)  # the last ones are known already and cost nothing
        return self.answers[inputs.flatten().long()]


def numbers(*values: float) -> Tensor:
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def archive_of(box: Told, **options: object) -> Archive:
    settings: dict[str, object] = {
        "target": 1,
        "source_class": 0,
        "distance": lambda x: x.flatten() / 10,
        "cost": lambda x: x.flatten() / 10,
        "dissimilarity": lambda x, other: (x - other).flatten().abs() / 10,
    }
    return Archive(box=box, **{**settings, **options})  # type: ignore[arg-type]
