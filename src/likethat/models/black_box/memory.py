"""What remembers answers: a dictionary, as long as the process lives."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

__all__ = ["Memory", "Store"]


class Store(Protocol):
    """Keeps the answers of one predictor by the digest of their inputs."""

    def known(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the answers (class,) float64 that it has, by digest."""
        ...

    def keep(self, answers: Mapping[bytes, np.ndarray]) -> None:
        """Keep answers for good, at once."""
        ...


class Memory:
    """A dictionary."""

    def __init__(self) -> None:
        self._answers: dict[bytes, np.ndarray] = {}

    def known(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the answers that it has, by digest."""
        return {key: self._answers[key] for key in keys if key in self._answers}

    def keep(self, answers: Mapping[bytes, np.ndarray]) -> None:
        """Keep answers."""
        self._answers.update(answers)
