"""What the sections of benchmarks/parts.py share: the model, the drawn creatures, tables."""

from functools import cache
from typing import Any

import likethat as lt
from likethat.features import Features, collect
from likethat.metrics import SURROUNDINGS, PartTruth
from likethat.sources import CreatureSample

__all__ = ["N_FIT", "N_HELD_OUT", "Book", "books", "creatures_model", "fit_features", "table"]

N_FIT, N_HELD_OUT = 1200, 240


class Book:
    """Drawn creatures, each drawn once."""

    def __init__(self, n: int, seed: int) -> None:
        self.book = lt.creatures(n, seed=seed)
        self.size, self.class_names = self.book.size, self.book.class_names
        self._drawn: dict[int, CreatureSample] = {}
        self._truth: PartTruth | None = None

    def __len__(self) -> int:
        return len(self.book)

    def __getitem__(self, index: int, /) -> CreatureSample:
        if index not in self._drawn:
            self._drawn[index] = self.book[index]
        return self._drawn[index]

    @property
    def truth(self) -> PartTruth:
        """What is truly where."""
        self._truth = self._truth or PartTruth(self)
        return self._truth

    def true_part(self, index: int, box: tuple[int, int, int, int]) -> str | None:
        """Return the part in a box."""
        part = self.truth.at(index, box)
        return None if part == SURROUNDINGS else part


@cache
def creatures_model() -> lt.SplitModel:
    return lt.load("zoo:creatures")


@cache
def books() -> tuple[Book, Book]:
    return Book(N_FIT, seed=101), Book(N_HELD_OUT, seed=102)


@cache
def fit_features() -> Features:
    return collect(creatures_model(), books()[0])


def table(rows: list[dict[str, Any]]) -> list[str]:
    columns = list(rows[-1])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(_cell(column, row.get(column)) for column in columns) + " |" for row in rows]


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:.0e}" if column == "gap" else f"{value:.0f}" if column == "fit s" else f"{value:.2f}"
