"""A drawn table of people and whether they earn much: numbers, categories, dates, zeros and holes, as a census has."""

from typing import TYPE_CHECKING

import numpy as np

from likethat._checks import check_count, require

if TYPE_CHECKING:
    import pandas as pd

INCOME_CLASSES = ("at most 50K", "above 50K")
_EDUCATION = ("none", "school", "college", "bachelor", "master", "doctorate")
_WORK = ("private", "self-employed", "public", "unpaid")
_TRADE = ("craft", "sales", "clerical", "service", "technical", "management", "teaching", "farming")
_STATE = ("single", "married", "divorced", "widowed")


def incomes(n: int = 3000, *, seed: int = 0) -> "tuple[pd.DataFrame, np.ndarray]":
    """Draw people and the class of their income; nobody in it exists.

    Each column is drawn given those before it: age; education | age; marital status | age; work | education; trade |
    education, missing for most without pay; hours | work, age; capital gain, 0 for nine in ten | education; weight of
    the interview, unrelated; date of the interview, unrelated; income | all but the last two.

    Args:
        n: number of people.
        seed: same seed, same people.

    Returns:
        The table (person, 10 columns), and the class of each (0 or 1, see `INCOME_CLASSES`).

    Raises:
        MissingExtraError: pandas is not installed.

    Example:
        >>> people, labels = incomes(500)
        >>> people.shape, sorted(set(labels.tolist()))
        ((500, 10), [0, 1])
    """
    pandas = require("pandas", purpose="the table of incomes")
    n = check_count(n, name="n")
    rng = np.random.default_rng(seed)
    age = np.clip(np.round(rng.gamma(2.6, 8.6, n) + 17), 17, 90).astype(np.int64)
    education = np.clip(np.round(rng.normal(2.1 + 0.9 * (age > 24), 1.25, n)), 0, 5).astype(np.int64)
    state = _draw(rng, _status_odds(age))
    work = _draw(rng, np.stack([np.full(n, 6.0), 1.0 + age / 60, 0.6 + 0.4 * education, np.full(n, 0.35)], axis=1))
    trade = _draw(rng, _trade_odds(education))
    hours = np.round(rng.normal(40, 3, n) + (work == 1) * rng.normal(6, 9, n) - (age > 64) * 14)
    hours = np.clip(np.where(rng.random(n) < 0.45, 40, hours) - (work == 3) * 20, 1, 99).astype(np.int64)
    gain = np.round(np.exp(rng.normal(7.6 + 0.35 * education, 0.9, n)))
    gain = np.where(rng.random(n) < 0.04 + 0.025 * education, np.clip(gain, 114, 99999), 0).astype(np.int64)
    score = _income_score(age=age, education=education, state=state, work=work, trade=trade, hours=hours, gain=gain)
    labels = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(np.int64)
    days = np.datetime64("2024-01-01") + rng.integers(0, 366, n).astype("timedelta64[D]")
    frame = pandas.DataFrame(
        {
            "age": age,
            "education": pandas.Categorical.from_codes(education, _EDUCATION, ordered=True),
            "marital_status": np.array(_STATE, dtype=object)[state],
            "work": np.array(_WORK, dtype=object)[work],
            "trade": np.array(_TRADE, dtype=object)[trade],
            "hours": hours,
            "capital_gain": gain,
            "weight": np.round(np.exp(rng.normal(12, 0.5, n)) / 1000, 1),
            "owns_home": rng.random(n) < 1 / (1 + np.exp(2.2 - 0.05 * age - 0.6 * (state == 1))),
            "interviewed": days.astype("datetime64[s]"),
        }
    )
    frame.loc[(work == 3) | (rng.random(n) < 0.03), "trade"] = None
    frame.loc[rng.random(n) < 0.05, "weight"] = np.nan
    return frame, labels


def _status_odds(age: np.ndarray) -> np.ndarray:
    single = 6 * np.exp(-(age - 17) / 11.0)
    married = 2.2 / (1 + np.exp((26 - age) / 4.0))
    divorced = 0.55 / (1 + np.exp((36 - age) / 6.0))
    return np.stack([single + 0.15, married + 0.05, divorced + 0.01, 0.9 / (1 + np.exp((72 - age) / 5.0))], axis=1)


def _trade_odds(education: np.ndarray) -> np.ndarray:
    """Manual trades need little schooling, teaching and management much."""
    lean = np.array([-0.9, -0.2, 0.1, -0.8, 0.4, 0.9, 1.3, -1.0])
    base = np.array([1.2, 1.2, 1.2, 1.0, 0.9, 0.9, 0.3, 0.4])
    return base * np.exp(lean * (education[:, None] - 2.5) * 0.7)


def _income_score(
    *,
    age: np.ndarray,
    education: np.ndarray,
    state: np.ndarray,
    work: np.ndarray,
    trade: np.ndarray,
    hours: np.ndarray,
    gain: np.ndarray,
) -> np.ndarray:
    """Return the log-odds of a high income."""
    of_age = -(((age - 48) / 15.0) ** 2)
    of_trade = np.array([0.0, 0.3, -0.4, -1.0, 0.7, 1.3, -0.2, -1.2])[trade]
    of_work = np.array([0.0, 0.2, 0.1, -4.0])[work]
    return (
        -4.2
        + of_age
        + 0.75 * education
        + 1.6 * (state == 1)
        + of_trade
        + of_work
        + 0.05 * (hours - 40)
        + 2.5 * (gain > 5000)
    )


def _draw(rng: np.random.Generator, odds: np.ndarray) -> np.ndarray:
    """Draw one index a row, with chances in the ratio of `odds`."""
    edges = np.cumsum(odds / odds.sum(1, keepdims=True), axis=1)
    return (rng.random(len(odds))[:, None] > edges[:, :-1]).sum(1)
