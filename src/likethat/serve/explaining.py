"""From a visitor's picture to an explanation, computed once for its page and its downloads."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from likethat._checks import check_count
from likethat._class_names import resolve_target
from likethat.errors import InputError
from likethat.explanations import Bank, Explanation
from likethat.explanations.regions import Maps, Region, explain_region
from likethat.serve.dropped import Dropped, decoded
from likethat.serve.limits import Limits
from likethat.serve.shelf import Shelved
from likethat.sources.base import Sample

Mark = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, as shares of it."""
_SIDES = ("left", "top", "right", "bottom")
_Found = TypeVar("_Found")

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
    """Return the index of the class that a visitor means: a name as `--target` takes it, or ``index:7``; None for "".

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
    return resolve_target(word.strip(), bank.class_names)


def mark_of(words: Mapping[str, str]) -> Mark:
    """Return the part of a picture that an address names, in percent.

    Raises:
        InputError: a side is no number. What is no part of the picture, `explain_region` refuses.
    """
    sides = []
    for side in _SIDES:
        word = words.get(f"mark_{side}", "").strip()
        try:
            sides.append(float(word[:20]) / 100)
        except ValueError as error:
            raise InputError(f"`mark_{side}` must be a number of percent from 0 to 100, got {word[:40]!r}.") from error
    left, top, right, bottom = sides
    return left, top, right, bottom


class Explainer:
    """Explains pictures, and keeps the last explanations.

    Args:
        limits: how many are kept.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._maps: dict[str, Maps] = {}
        self._lock = threading.Lock()

    def explain(self, shelved: Shelved, picture: Dropped, question: Question) -> Explanation:
        """Return why a model gives a picture its logit.

        Raises:
            LikethatError: the picture does not decode, or the model cannot be asked so.
        """
        place = (shelved.name, picture.bank, picture.key, question)
        return self._once(place, lambda: self._explained(shelved.bank, picture, question))

    def region(self, shelved: Shelved, picture: Dropped, question: Question, mark: Mark) -> Region:
        """Return what a part of a picture adds to the logit, and what looks like it.

        Raises:
            LikethatError: as `explain`, or it is no part of the picture.
        """
        bank = shelved.bank
        with self._lock:
            maps = self._maps.setdefault(shelved.name, Maps(bank, self._limits.maps))

        own = picture.kept if picture.bank == shelved.name else ""

        def work() -> Region:
            return explain_region(
                bank, self.sample(bank, picture), mark, maps,
                target=question.target, against=question.against, without=own, seconds=self._limits.looking,
            )  # fmt: skip

        return self._once((shelved.name, picture.bank, picture.key, question, mark), work)

    def forget(self, bank: str) -> None:
        """Let go of what was said by a bank: its units are called otherwise now."""
        with self._lock:
            for place in [place for place in self._kept if isinstance(place, tuple) and place[0] == bank]:
                del self._kept[place]

    def _once(self, place: Hashable, work: Callable[[], _Found]) -> _Found:
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                known: _Found = self._kept[place]
                return known
        found = work()
        if isinstance(found, Region) and found.n_left:
            return found  # asked again, there is more of it
        with self._lock:
            self._kept[place] = found
            while len(self._kept) > self._limits.explanations:
                self._kept.popitem(last=False)
        return found

    def sample(self, bank: Bank, picture: Dropped) -> Sample:
        """Return a picture as a model takes it.

        Raises:
            UnreadableImageError: it does not decode, or has too many pixels.
        """
        # What a bank keeps is as the network saw it: there is nothing left to say of its pixels.
        reading = None if picture.kept else bank.provenance.data.get("reading")
        return decoded(picture.data, picture.name, reading, most=self._limits.pixels)

    def _explained(self, bank: Bank, picture: Dropped, question: Question) -> Explanation:
        sample = self.sample(bank, picture)
        if question.against is None:
            return bank.explain(sample, question.target, top=question.top)
        return bank.contrast(sample, question.target, question.against, top=question.top)
