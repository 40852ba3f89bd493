"""Measures of two samples of inputs, whatever they are, by numbers that describe each."""

import math

import numpy as np
from jaxtyping import Float

from likethat.functional.two_sample import auc_with_error
from likethat.generators.quality import Compared

FEWEST = 20
"""Real inputs kept back, below which a classifier has nothing to learn from and no figure means anything."""
_FOLDS, _TREES = 5, 60  # each input is judged by trees that saw four fifths; more trees tell no better on such samples


def told_apart(
    first: Float[np.ndarray, "n feature"], second: Float[np.ndarray, "m feature"], *, seed: int
) -> tuple[float, float]:
    """Return how well a classifier tells two samples apart, and the standard error of that.

    Gradient boosted trees, cross-validated: the area under the ROC curve of scores of inputs that the trees did not
    see, the mean over five folds. The error is that of the inputs drawn, with the trees as they are.

    Args:
        first: real inputs; NaN where a number is missing.
        second: others, of the same features.
        seed: of folds and trees.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold

    rows, labels = np.concatenate([first, second]), np.repeat([0, 1], [len(first), len(second)])
    folds = min(_FOLDS, len(first) // 2, len(second) // 2)
    areas, errors = [], []
    for seen, unseen in StratifiedKFold(folds, shuffle=True, random_state=seed).split(rows, labels):
        judge = HistGradientBoostingClassifier(max_iter=_TREES, random_state=seed).fit(rows[seen], labels[seen])
        scores, truth = judge.decision_function(rows[unseen]), labels[unseen]
        area, error = auc_with_error(scores[truth == 0], scores[truth == 1])
        areas.append(area)
        errors.append(error)
    return math.fsum(areas) / folds, math.hypot(*errors) / folds


def share(name: str, made: np.ndarray, real: np.ndarray) -> Compared:
    """Return the share of made and of real inputs of which something is true, with their errors."""
    return Compared(
        what="whole",
        name=name,
        made=float(made.mean()),
        real=float(real.mean()),
        made_error=_share_error(made),
        real_error=_share_error(real),
    )


def _share_error(hits: np.ndarray) -> float:
    """Return the standard error of a share; of 0 or 1 too, after Agresti and Coull (1998): two hits and misses more."""
    smoothed = (hits.sum() + 2) / (len(hits) + 4)
    return float(np.sqrt(smoothed * (1 - smoothed) / (len(hits) + 4)))


def median(name: str, made: Float[np.ndarray, " n"], real: Float[np.ndarray, " m"]) -> Compared:
    """Return the medians of two sets of distances."""
    return Compared(what="whole", name=name, made=float(np.median(made)), real=float(np.median(real)))
