"""How well words follow each other in given texts: an interpolated trigram model, counted in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

_DISCOUNT = 0.75  # of absolute discounting; what held-out estimates give for most texts
_START, _END, _UNKNOWN = 0, 1, 2  # numbers that are no words


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """How often keys occur.

    Attributes:
        keys: sorted.
        counts: of each.
    """

    keys: Int[NDArray[np.int64], " key"]
    counts: Float[NDArray[np.float64], " key"]

    @classmethod
    def of(cls, keys: Int[NDArray[np.int64], "..."]) -> "Counts":
        """Count."""
        found, counts = np.unique(keys, return_counts=True)
        return cls(keys=found, counts=counts.astype(np.float64))

    def __getitem__(self, keys: Int[NDArray[np.int64], "..."]) -> Float[NDArray[np.float64], "..."]:
        """Return the counts of keys, 0 of those that do not occur."""
        if not len(self.keys):
            return np.zeros(np.shape(keys))
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.counts[place], 0.0)

    def less(self, other: "Counts") -> "Counts":
        """Return what is left without others, which are among these."""
        counts = self.counts.copy()
        counts[np.searchsorted(self.keys, other.keys)] -= other.counts
        return replace(self, counts=counts)


@dataclass(frozen=True, kw_only=True, eq=False)
class NGrams:
    """A trigram model: p(w | u, v), and p(w) beside it.

    Attributes:
        numbers: of each word; the first three are start, end and unknown.
        three: counts of three words in a row.
        two: of two.
        one: of one.

    Source:
        Ney, Essen and Kneser (1994), On structuring probabilistic dependences: absolute discounting, interpolated.

    Differs:
        The lowest level is how often a word occurs, not in how many contexts: SLOR compares with that.
    """

    numbers: dict[str, int]
    three: Counts
    two: Counts
    one: Counts

    @classmethod
    def count(cls, texts: Sequence[Sequence[str]]) -> "NGrams":
        """Count texts that are given as their words."""
        words = sorted({word for text in texts for word in text})
        numbers = {word: place + 3 for place, word in enumerate(words)}
        rows = [np.array([numbers[word] for word in text], dtype=np.int64) for text in texts]
        three, two, one = _keys(rows, len(numbers) + 3)
        return cls(numbers=numbers, three=Counts.of(three), two=Counts.of(two), one=Counts.of(one))

    def without(self, text: Sequence[str]) -> "NGrams":
        """Return the model as if one of its texts had not been counted: a text must not speak for itself."""
        three, two, one = _keys([self.numbered(text)], len(self.numbers) + 3)
        parts = {"three": three, "two": two, "one": one}
        return replace(self, **{name: getattr(self, name).less(Counts.of(keys)) for name, keys in parts.items()})

    def numbered(self, text: Sequence[str]) -> Int[NDArray[np.int64], " word"]:
        """Return the numbers of words."""
        return np.array([self.numbers.get(word, _UNKNOWN) for word in text], dtype=np.int64)

    def knows_pairs(
        self, before: Int[NDArray[np.int64], "..."], after: Int[NDArray[np.int64], "..."]
    ) -> NDArray[np.bool_]:
        """Return whether each word was seen behind each other one."""
        known: NDArray[np.bool_] = self.two[before * (len(self.numbers) + 3) + after] > 0
        return known

    def between(self, before: int, after: int) -> Int[NDArray[np.int64], " found"]:
        """Return the words that were seen between two words."""
        size = len(self.numbers) + 3
        start, stop = np.searchsorted(self.three.keys, [before * size**2, (before + 1) * size**2])
        keys = self.three.keys[start:stop]
        good = (keys % size == after) & (self.three.counts[start:stop] > 0)
        return keys[good] // size % size

    def slor(self, rows: Sequence[Sequence[str]]) -> Float[NDArray[np.float64], " row"]:
        """Return log p(words | those before) - log p(words by themselves), summed, in nats, of several texts.

        Source:
            Pauls and Klein (2012); Lau, Clark and Lappin (2017), Grammaticality, acceptability and probability: SLOR.

        Differs:
            It is not divided by the number of words: of interest is what one edit changes.
        """
        size = len(self.numbers) + 3
        padded = [np.concatenate([[_START, _START], self.numbered(row), [_END]]) for row in rows]
        words = np.concatenate([row[2:] for row in padded])
        pairs = np.concatenate([row[1:-1] for row in padded])
        firsts = np.concatenate([row[:-2] for row in padded])
        total = self._statistics
        alone = (self.one[words] + 1) / (total.words + size)
        seen = self.two[pairs * size + words]
        second = _mixed(seen, total.after_one, pairs, alone)
        seen = self.three[(firsts * size + pairs) * size + words]
        third = _mixed(seen, total.after_two, firsts * size + pairs, second)
        found = np.log(third) - np.log(alone)
        return np.add.reduceat(found, np.cumsum([0, *(len(row) - 2 for row in padded[:-1])]))

    @property
    def _statistics(self) -> "_Statistics":
        known: _Statistics | None = self.__dict__.get("_known")
        if known is None:
            size = len(self.numbers) + 3
            known = _Statistics(
                words=float(self.one.counts.sum()),
                after_one=_contexts(self.two, size),
                after_two=_contexts(self.three, size),
            )
            self.__dict__["_known"] = known
        return known


@dataclass(frozen=True, kw_only=True, eq=False)
class _Statistics:
    """How many words there are; of each context how often it occurs and how many different words follow."""

    words: float
    after_one: tuple[Counts, Counts]
    after_two: tuple[Counts, Counts]


def _contexts(counts: Counts, size: int) -> tuple[Counts, Counts]:
    contexts, place = np.unique(counts.keys // size, return_inverse=True)
    often, kinds = (
        np.bincount(place, weights=weights, minlength=len(contexts)).astype(np.float64)
        for weights in (counts.counts, (counts.counts > 0).astype(np.float64))
    )
    return Counts(keys=contexts, counts=often), Counts(keys=contexts, counts=kinds)


def _mixed(
    seen: NDArray[np.float64],
    contexts: tuple[Counts, Counts],
    context: NDArray[np.int64],
    lower: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the discounted share of what was seen, and for the rest the level below."""
    often, kinds = contexts[0][context], contexts[1][context]
    with np.errstate(divide="ignore", invalid="ignore"):
        mixed = (np.maximum(seen - _DISCOUNT, 0) + _DISCOUNT * kinds * lower) / often
    return np.where(often > 0, mixed, lower)


def _keys(
    rows: Sequence[NDArray[np.int64]], size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    padded = [np.concatenate([[_START, _START], row, [_END]]) for row in rows]
    words = np.concatenate([row[2:] for row in padded])
    pairs = np.concatenate([row[1:-1] for row in padded])
    firsts = np.concatenate([row[:-2] for row in padded])
    return (firsts * size + pairs) * size + words, pairs * size + words, words
