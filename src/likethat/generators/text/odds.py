"""What the classes of given texts tell of words, before the model is asked."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

_FEWEST = 2  # texts a word is in: what it did once may have been chance
_STRENGTH = 1.0  # inverse of the penalty on weights, of word counts 0 and 1: sklearn's own
_STEPS = 200  # twice the solver's own: words are many, texts few


class WordOdds:
    """How much each word raises the log-odds of each class, by logistic regression on the words of given texts.

    Args:
        keys: the words of each text, see `Words.keys`.
        classes: (text, class) share of each class: a label, or what the model itself answered.
    """

    def __init__(self, keys: Sequence[Sequence[str]], classes: Float[NDArray[np.float64], "text cls"]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression

        counter = CountVectorizer(analyzer=lambda words: words, binary=True, min_df=_FEWEST)
        table = counter.fit_transform(keys)
        text, cls = np.nonzero(classes > 0)  # a text of two classes counts for both, as much as it is of each
        fit = LogisticRegression(C=_STRENGTH, max_iter=_STEPS)
        fit.fit(table[text], cls, sample_weight=classes[text, cls])
        weights = fit.coef_ if len(fit.coef_) > 1 else np.concatenate([-fit.coef_, fit.coef_]) / 2
        self._odds = np.zeros((classes.shape[1], weights.shape[1]))
        self._odds[fit.classes_] = weights
        self._places: dict[str, int] = counter.vocabulary_

    def of(self, keys: Sequence[str]) -> Float[NDArray[np.float64], "word cls"]:
        """Return the weight of each word for each class, 0 of words that were not seen."""
        found = np.zeros((len(keys), len(self._odds)))
        for row, key in enumerate(keys):
            place = self._places.get(key)
            if place is not None:
                found[row] = self._odds[:, place]
        return found
