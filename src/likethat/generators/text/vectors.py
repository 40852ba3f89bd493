"""Word vectors from what stands left and right of words: near are words that could stand in each other's place."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from likethat.generators.text.ngrams import NGrams

_LEAST_SEEN = 3  # a word seen twice has stood in two places: its vector says nothing
_MOST_WORDS, _CONTEXTS, _DIM = 20_000, 2_000, 64  # the SVD takes seconds; rarer contexts are in few words' company


@dataclass(frozen=True, kw_only=True, eq=False)
class WordVectors:
    """Vectors of length 1 of all words that were seen often enough.

    Attributes:
        numbers: (word,) of each in the trigram model, sorted.
        vectors: (word, dim).

    Source:
        Levy and Goldberg (2014), Neural word embedding as implicit matrix factorization: positive pointwise mutual
        information and its SVD; Schütze (1995), Distributional part-of-speech tagging: left and right apart.
    """

    numbers: Int[NDArray[np.int64], " word"]
    vectors: Float[NDArray[np.float32], "word dim"]

    @classmethod
    def learn(cls, model: NGrams) -> "WordVectors":
        """Learn the vectors from the pairs of words that a model has counted."""
        from scipy.sparse import hstack
        from sklearn.utils.extmath import randomized_svd

        size = len(model.numbers) + 3
        often = np.zeros(size)
        often[model.one.keys] = model.one.counts
        order = np.argsort(-often[3:], kind="stable") + 3
        words = np.sort(order[often[order] >= _LEAST_SEEN][:_MOST_WORDS])
        contexts = np.sort(np.concatenate([[0, 1], order[:_CONTEXTS]]))
        before, after = np.divmod(model.two.keys, size)
        sides = [
            _table(rows, columns, model.two.counts, words, contexts)
            for rows, columns in ((after, before), (before, after))
        ]
        table: Any = hstack([_positive_information(side) for side in sides]).tocsr()
        dim = min(_DIM, min(table.shape) - 1)
        if dim < 1:
            return cls(numbers=words, vectors=np.zeros((len(words), 1), dtype=np.float32))
        left, strength, _ = randomized_svd(table, dim, random_state=0)
        vectors = left * np.sqrt(strength)
        length = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        return cls(numbers=words, vectors=(vectors / length).astype(np.float32))

    def of(self, number: int) -> Float[NDArray[np.float32], " dim"] | None:
        """Return the vector of a word; None of one that was not seen often enough."""
        place = int(np.searchsorted(self.numbers, number))
        return self.vectors[place] if place < len(self.numbers) and self.numbers[place] == number else None

    def near(self, number: int, *, least: float, most: int) -> Int[NDArray[np.int64], " found"]:
        """Return the numbers of the nearest words, nearest first, without the word itself.

        Args:
            number: of a word.
            least: cosine.
            most: how many.
        """
        vector = self.of(number)
        if vector is None:
            return np.zeros(0, dtype=np.int64)
        cosine = self.vectors @ vector
        order = np.argsort(-cosine, kind="stable")[: most + 1]
        order = order[(cosine[order] >= least) & (self.numbers[order] != number)]
        return self.numbers[order[:most]]


def _table(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    counts: NDArray[np.float64],
    words: NDArray[np.int64],
    contexts: NDArray[np.int64],
) -> Any:
    """Return how often each word stood beside each context, as a sparse table."""
    from scipy.sparse import coo_matrix

    row, column = (np.searchsorted(known, found) for known, found in ((words, rows), (contexts, columns)))
    row, column = np.minimum(row, len(words) - 1), np.minimum(column, len(contexts) - 1)
    good = (words[row] == rows) & (contexts[column] == columns) if len(words) else np.zeros(len(rows), dtype=bool)
    return coo_matrix((counts[good], (row[good], column[good])), shape=(len(words), len(contexts)))


def _positive_information(table: Any) -> Any:
    """Return max(0, log p(word, context) / (p(word) p(context))) of a table of counts."""
    from scipy.sparse import coo_matrix

    found = table.tocsr().tocoo()
    by_word, by_context = (np.asarray(found.sum(axis=axis)).ravel() for axis in (1, 0))
    expected = by_word[found.row] * by_context[found.col]
    values = np.maximum(np.log(found.data * found.data.sum() / expected), 0)
    return coo_matrix((values, (found.row, found.col)), shape=found.shape)
