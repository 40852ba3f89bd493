"""From a visitor's picture to an explanation, computed once for its page and its downloads."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from likethat._checks import check_count
from likethat.errors import InputError, TargetError
from likethat.explanations import Bank, Explanation
from likethat.serve.dropped import Dropped, decoded
from likethat.serve.limits import Limits
from likethat.serve.shelf import Shelved

__all__ = ["Explainer", "Question", "class_of"]

_MOST_ROWS = 12  # that a page shows: each brings a dozen pictures


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about a picture.

    Attributes:
        target: class that is explained; None for the predicted one.
        against: the other class; None for none.
        top: how many units are shown.
    """

    target: int | None = None
    against: int | None = None
    top: int = 4

    @classmethod
    def of(cls, bank: Bank, target: str, against: str, top: str) -> "Question":
        """Read the words of an address.

        Raises:
            TargetError: no such class.
            InputError: no number of rows that a page shows.
        """
        if top and not (top.isdecimal() and 1 <= int(top[:4]) <= _MOST_ROWS):
            raise InputError(f"`top` must be from 1 to {_MOST_ROWS}, got {top[:40]!r}.")
        rows = check_count(int(top), name="top") if top else cls.top
        return cls(target=class_of(bank, target), against=class_of(bank, against), top=rows)


def class_of(bank: Bank, word: str) -> int | None:
    """Return the index of the class that a visitor means: a name, or ``index:7``; None for no word.

    Raises:
        TargetError: no such class.
    """
    if not word.strip():
        return None
    if word in bank.class_names:
        return bank.class_names.index(word)
    kind, _, number = word.partition(":")
    if kind == "index" and number.isdecimal() and len(number) < 10 and int(number) < len(bank.class_names):
        return int(number)
    folded = [name.casefold() for name in bank.class_names]
    if word.strip().casefold() in folded:
        return folded.index(word.strip().casefold())
    raise TargetError(f"`class` must be one of the {len(folded):,} classes, got {word[:80]!r}. Choose one of the list.")


class Explainer:
    """Explains pictures, and keeps the last explanations.

    Args:
        limits: how many are kept.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[tuple[str, str, Question], Explanation] = OrderedDict()
        self._lock = threading.Lock()

    def explain(self, shelved: Shelved, picture: Dropped, question: Question) -> Explanation:
        """Return why a model gives a picture its logit.

        Raises:
            LikethatError: the picture does not decode, or the model cannot be asked so.
        """
        place = (shelved.name, picture.key, question)
        return self._once(place, lambda: self._explained(shelved.bank, picture, question))

    def _once(self, place: tuple[str, str, Question], work: Callable[[], Explanation]) -> Explanation:
        with self._lock:
            found = self._kept.get(place)
            if found is not None:
                self._kept.move_to_end(place)
                return found
        found = work()
        with self._lock:
            self._kept[place] = found
            while len(self._kept) > self._limits.explanations:
                self._kept.popitem(last=False)
        return found

    def _explained(self, bank: Bank, picture: Dropped, question: Question) -> Explanation:
        reading = bank.provenance.data.get("reading")
        sample = decoded(picture.data, picture.name, reading, most=self._limits.pixels)
        if question.against is None:
            return bank.explain(sample, question.target, top=question.top)
        return bank.contrast(sample, question.target, question.against, top=question.top)
