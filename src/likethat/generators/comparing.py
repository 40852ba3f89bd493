"""Measures of two samples of inputs, whatever they are, by numbers that describe each."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from likethat._inputs import Kind
from likethat._progress import Stage, Watcher
from likethat.functional.two_sample import auc_with_error
from likethat.generators.quality import NOUNS, Compared, Quality, unmeasured

FEWEST = 20
"""Real inputs kept back, below which a classifier has nothing to learn from and no figure means anything."""
_FOLDS, _TREES = 5, 60  # each input is judged by trees that saw four fifths; more trees tell no better on such samples
_LEAF, _LEAVES = 20, 8  # inputs of a leaf, scikit-learn's own; of few inputs, as many as eight leaves need
_NOTES = (
    "Real: what was kept back against as many that were learned from; copies and nearest are of what was kept back "
    "itself.",
    "When to stop the training was decided on what was kept back too.",
)


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
        least = max(1, min(_LEAF, len(seen) // _LEAVES))
        judge = HistGradientBoostingClassifier(max_iter=_TREES, min_samples_leaf=least, random_state=seed)
        judge.fit(rows[seen], labels[seen])
        scores, truth = judge.decision_function(rows[unseen]), labels[unseen]
        area, error = auc_with_error(scores[truth == 0], scores[truth == 1])
        areas.append(area)
        errors.append(error)
    return math.fsum(areas) / folds, math.hypot(*errors) / folds


def compared_features(
    kept_back: Float[np.ndarray, "n feature"],
    made: Float[np.ndarray, "n feature"],
    half: Float[np.ndarray, "n feature"],
    *,
    names: Sequence[str],
    seed: int,
) -> list[Compared]:
    """Measure made inputs by numbers that describe each, and another real half beside them.

    Args:
        kept_back: real inputs that nothing was learned from.
        made: by the generator.
        half: other real inputs.
        names: of the first features, each of which is compared by itself too.
        seed: of folds and trees.
    """
    (area, error), (own, own_error) = (told_apart(kept_back, other, seed=seed) for other in (made, half))
    far = [[largest_gap(kept_back[:, at], other[:, at]) for at in range(len(names))] for other in (made, half)]
    return [
        Compared(what="whole", name="auc", made=area, real=own, made_error=error, real_error=own_error),
        Compared(what="whole", name="features", made=float(np.mean(far[0])), real=float(np.mean(far[1]))),
        *(Compared(what="feature", name=name, made=a, real=b) for name, a, b in zip(names, *far, strict=True)),
    ]


def largest_gap(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> float:
    """Return the largest difference of two distribution functions (Kolmogorov and Smirnov), in [0, 1]."""
    grid = np.unique(np.concatenate([first, second]))
    below = [np.searchsorted(np.sort(values), grid, "right") / len(values) for values in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def quality_of(
    kind: Kind,
    n_kept_back: int,
    n: int,
    compare: Callable[[], Sequence[Compared]],
    *,
    notes: Sequence[str],
    watch: Watcher | None,
) -> Quality:
    """Return the quality of a generator, measured on what its training had held out to know when to stop.

    Args:
        kind: of the inputs.
        n_kept_back: real inputs that it did not learn from; of fewer than 20 nothing is said.
        n: real inputs in all.
        compare: measures what it makes beside them.
        notes: how, in sentences.
        watch: called before and after.
    """
    if n_kept_back < FEWEST:
        why = f"{n:,} {NOUNS[kind]} are too few: {n_kept_back} were kept back, {FEWEST} are needed"
        return unmeasured(kind, why)
    stage = Stage("measuring", watch, total=1)
    stage(0)
    compared = sorted(compare(), key=lambda one: one.what != "whole")
    stage(1)
    return Quality(kind=kind, n_kept_back=n_kept_back, n=n, compared=tuple(compared), notes=(*_NOTES, *notes))


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
