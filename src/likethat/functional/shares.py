"""Intervals of counted shares."""

from scipy.stats import beta


def share_interval(n: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of which n in total were counted.

    Source:
        Clopper and Pearson (1934), exact binomial limits.

    Example:
        >>> [round(end, 3) for end in share_interval(0, 10)], [round(end, 3) for end in share_interval(5, 1500)]
        ([0.0, 0.308], [0.001, 0.008])
    """
    low = float(beta.ppf(0.025, n, total - n + 1)) if n else 0.0
    high = float(beta.ppf(0.975, n + 1, total - n)) if n < total else 1.0
    return low, high
