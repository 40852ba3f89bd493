"""What remembers answers: a dictionary, as long as the process lives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from likethat.models.black_box.backend import Output


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a predictor that answered before.

    Attributes:
        class_names: its classes, in the order of the answers.
        output: "probabilities", "logits", "labels" or "numbers".
    """

    class_names: tuple[str, ...]
    output: Output


class Store(Protocol):
    """Keeps the answers of one predictor by the digest of their inputs.

    Attributes:
        trouble: why answers are no longer kept where they should be; "" while they are.
    """

    trouble: str

    def facts(self) -> Known | None:
        """Return what the answers are; None before the first one."""
        ...

    def known(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the answers (class,) float64 that it has, by digest."""
        ...

    def keep(self, answers: Mapping[bytes, np.ndarray], *, class_names: Sequence[str], output: str) -> None:
        """Keep answers at once, and what they are: their classes, and which `Output`."""
        ...


class Memory:
    """A dictionary."""

    trouble = ""

    def __init__(self) -> None:
        self._answers: dict[bytes, np.ndarray] = {}

    def facts(self) -> Known | None:
        """Return nothing: what is in memory is known anyway."""
        return None

    def known(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the answers that it has, by digest."""
        return {key: self._answers[key] for key in keys if key in self._answers}

    def keep(self, answers: Mapping[bytes, np.ndarray], *, class_names: Sequence[str], output: str) -> None:  # noqa: ARG002
        """Keep answers."""
        self._answers.update(answers)
