"""How many rows a service takes at once: learned from what it answers, and remembered."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likethat._inputs import Inputs
from likethat.errors import BlackBoxError
from likethat.models.black_box.arrays import rows_of

_TOO_LARGE = 413  # of HTTP: the request is larger than the server takes
_ROWS = re.compile(r"batch|\brows?\b|instances|records|samples|examples|inputs|items", re.IGNORECASE)
_BOUND = re.compile(
    r"max|limit|exceed|at most|no more than|up to|too (?:large|many|big)|<=|(?:larg|great|bigg)er than", re.IGNORECASE
)
_NUMBER = re.compile(r"(?<![\w.])\d{1,6}(?!\w|\.\d)")


class RefusedError(BlackBoxError):
    """A service answered that it does not take a question.

    Attributes:
        status: of HTTP; 413 too where its answer was too large for us.
        said: its words, without credentials.
    """

    def __init__(self, sentence: str, *, status: int = 0, said: str = "") -> None:
        super().__init__(sentence)
        self.status, self.said = status, said


def fewer_rows(error: RefusedError, n: int) -> int | None:
    """Return how many rows to try next after `n` were refused: those that the answer names, else half of them.

    None where it was not about their number, or there is but one.

    Example:
        >>> fewer_rows(RefusedError("", status=400, said="batch-size must be <= 8 for 'm'"), 64)
        8
        >>> fewer_rows(RefusedError("", status=413), 64), fewer_rows(RefusedError("", status=400, said="no"), 64)
        (32, None)
    """
    is_named = bool(_ROWS.search(error.said) and _BOUND.search(error.said))
    if n < 2 or not (is_named or error.status == _TOO_LARGE):
        return None
    named = {number for number in map(int, _NUMBER.findall(error.said)) if 1 <= number < n} if is_named else set()
    return named.pop() if len(named) == 1 else n // 2


class Portions:
    """Asks for as many rows at once as a service takes.

    Attributes:
        most: rows at once; None before anything is known of it.
        notes: what was learned, in a sentence.
    """

    def __init__(self, name: str) -> None:
        self.most: int | None = None
        self.notes: tuple[str, ...] = ()
        self._name = name

    def ask(self, batch: Inputs, send: Callable[[Any], Any]) -> Any:
        """Return the answers to a batch, sent in portions; a portion that is too large is sent again as smaller ones.

        Raises:
            RefusedError: a single row is refused, or the answer does not speak of their number.
        """
        n = rows_of(batch)
        size, start, answers = min(self.most or n, n), 0, []
        while start < n:
            part = _rows(batch, start, start + size) if size < n else batch
            try:
                answers.append(send(part))
            except RefusedError as error:
                smaller = fewer_rows(error, rows_of(part))
                if smaller is None:
                    raise
                size = smaller
                continue
            start += rows_of(part)
            if size < n and size != self.most:
                self._learn(size)
        return _together(answers)

    def _learn(self, size: int) -> None:
        self.most = size
        self.notes = (f"{self._name} takes {size} rows at once: learned from what it answered to more",)


def _rows(batch: Any, start: int, stop: int) -> Any:
    return batch.iloc[start:stop] if hasattr(batch, "iloc") else batch[start:stop]


def _together(answers: Sequence[Any]) -> Any:
    if len(answers) == 1:
        return answers[0]
    if all(isinstance(answer, Tensor) for answer in answers):
        return torch.cat(list(answers))
    if all(isinstance(answer, np.ndarray) for answer in answers):
        return np.concatenate(answers)
    return [row for answer in answers for row in answer]
