"""How real a generator's texts are: made ones, and real ones that were kept back, beside those learned from."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from likethat.generators.comparing import compared_features, median, share
from likethat.generators.quality import Compared
from likethat.generators.text.reconstruction import words_kept
from likethat.generators.text.words import split_words

_Row: TypeAlias = tuple[str, ...]  # the words and signs of a text, as they are counted
_TOLD_BY = 200  # words and pairs of words, the most frequent ones, whose counts tell texts apart
_NAMES = ("words", "letters a word", "words that differ", "pairs of words that were seen")


def compared_texts(generator: Any, kept_back: Sequence[str], learned: Sequence[str], *, seed: int) -> list[Compared]:
    """Measure made texts, and real ones beside them.

    Args:
        generator: of latents.
        kept_back: real texts that it did not learn from.
        learned: real texts that it learned from. As many of them as were kept back are the other real half; what is
            frequent, and which pairs of words there are, is learned from the rest.
        seed: of latents, draws and trees.
    """
    n = len(kept_back)
    texts = generator(
        generator.prior.sample(n, rng=torch.Generator().manual_seed(seed + 3))
    )  # after training and prior
    order = np.random.default_rng(seed).permutation(len(learned)).tolist()
    rows = [split_words(text).keys for text in learned]
    half, rest = [rows[at] for at in order[:n]], [rows[at] for at in order[n:]]
    made, real = ([split_words(text).keys for text in some] for some in (texts, kept_back))
    features = _features(rest or rows, real, made, half)
    whole, known = set(rows), _Bags(rows)
    kept = (words_kept(generator, some) for some in (kept_back, [learned[at] for at in order[:n]]))
    return [
        *compared_features(*features, names=_NAMES, seed=seed),
        share("copies", *(np.array([row in whole for row in some]) for some in (made, real))),
        median("nearest", *(known.distances(some) for some in (made, real))),
        Compared(what="whole", name="words kept", made=next(kept), real=next(kept)),
    ]


def _features(known: Sequence[_Row], *samples: Sequence[_Row]) -> list[Float[np.ndarray, "n feature"]]:
    """Return numbers that describe each text of some samples: `_NAMES`, and how often each frequent piece occurs."""
    counts = Counter(piece for row in known for piece in (*row, *pairwise(row)))
    frequent = [piece for piece, _ in counts.most_common(_TOLD_BY)]

    def described(row: _Row) -> list[float]:
        n, pairs = max(1, len(row)), list(pairwise(row))
        own = Counter((*row, *pairs))
        simple = [len(row), len("".join(row)) / n, len(set(row)) / n, sum(map(counts.__contains__, pairs)) / n]
        return [*simple, *(own[piece] for piece in frequent)]

    return [np.array([described(row) for row in sample], dtype=np.float64) for sample in samples]


class _Bags:
    """Counts of the words of texts, to find the nearest of them."""

    def __init__(self, rows: Sequence[_Row]) -> None:
        self._reader = CountVectorizer(analyzer=list)
        self._known = normalize(self._reader.fit_transform(rows))

    def distances(self, rows: Sequence[_Row]) -> Float[np.ndarray, " n"]:
        """Return how far each text is from the nearest: 1 less the cosine of the counts of words."""
        alike = normalize(self._reader.transform(rows)) @ self._known.T
        return 1 - np.asarray(alike.max(axis=1).todense(), dtype=np.float64)[:, 0]
