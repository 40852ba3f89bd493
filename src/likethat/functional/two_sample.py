"""How well two samples can be told apart by a score, and how sure that is."""

import numpy as np
from jaxtyping import Float


def auc_with_error(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """Return the area under the ROC curve of scores, and its standard error.

    It is the chance that a score of `second` is above one of `first`; equal ones count half. 0.5 where nothing tells
    them apart. An area of 0 or 1 has an error too: of few scores it may be one by chance.

    Args:
        first: scores of one sample, two at least.
        second: scores of the other, two at least.

    Source:
        DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver operating
        characteristic curves", Biometrics 1988, equations 4 to 6.

    Differs:
        The error is that of both samples with one score more below and one above all others, as Agresti and Coull
        (1998) count two hits and two misses more for a share: theirs is 0 where the samples do not overlap.

    Example:
        >>> auc_with_error(np.array([1.0, 2.0]), np.array([2.0, 3.0]))[0]
        0.875
    """
    area = float(_shares_below(second, first).mean())
    first, second = (np.concatenate([[-np.inf], scores, [np.inf]]) for scores in (first, second))
    above_first = _shares_below(second, first)  # V01: of each score of `second`, the share of `first` below it
    below_second = 1 - _shares_below(first, second)  # V10
    variance = above_first.var(ddof=1) / len(second) + below_second.var(ddof=1) / len(first)
    return area, float(np.sqrt(variance))


def _shares_below(values: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """Return the share of `others` below each value, equal ones half."""
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(counts / (2 * len(ordered)), dtype=np.float64)
