"""A table with a column of every kind, and a generator of it trained for a moment."""

from functools import cache

import numpy as np
import pandas as pd

from likethat.generators.table.generator import TableVAE
from likethat.generators.table.training import train_table
from likethat.options import TableTraining

N = 120


def mixed_table(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2021-03-01") + pd.to_timedelta(rng.integers(0, 400, N), unit="D")
    whole = rng.integers(-5, 90, N)
    return pd.DataFrame(
        {
            "whole": whole,
            "fives": 5 * rng.integers(0, 9, N) + 10,
            "zeros": np.where(rng.random(N) < 0.8, 0, np.round(rng.exponential(3000, N))).astype("int32"),
            "tail": np.exp(rng.normal(0, 3, N)),
            "cents": np.round(rng.normal(0, 50, N), 2),
            "float32": rng.normal(size=N).astype("float32"),
            "holes": np.where(rng.random(N) < 0.2, np.nan, whole + 0.5),
            "nullable": pd.array([None if number % 7 == 0 else number % 50 for number in range(N)], dtype="Int64"),
            "word": rng.choice(["a", "b", "ü", "😀"], N),
            "maybe": pd.Series(
                [None if number % 5 == 0 else "x" + str(number % 3) for number in range(N)], dtype=object
            ),
            "ordered": pd.Categorical(rng.choice(["low", "high"], N), categories=["low", "mid", "high"], ordered=True),
            "truth": rng.random(N) < 0.3,
            "two": rng.choice([3, 8], N),
            "day": days,
            "zone": pd.date_range("2020-01-01", periods=N, freq="h", tz="Europe/Berlin"),
            "lasts": pd.to_timedelta(rng.integers(1, 900, N), unit="s"),
            "constant": "always",
            "number": 4.5,
            "gone": np.nan,
            "nothing": pd.Series([None] * N, dtype=object),
            7: rng.integers(0, 1000, N).astype("uint16"),
            "five hundreds": 500 * rng.integers(1, 40, N),
            "whole floats": rng.integers(6, 200, N).astype(float),
            "Float64": pd.array([None if number % 6 == 0 else number / 8 for number in range(N)], dtype="Float64"),
            "boolean": pd.array([None if number % 9 == 0 else number % 2 == 0 for number in range(N)], dtype="boolean"),
            "string": pd.array([None if number % 8 == 0 else "s" + str(number % 4) for number in range(N)], "string"),
            "category": pd.Categorical(rng.choice(["s", "m", "l"], N), categories=["s", "m", "l", "unseen"]),
            "period": pd.period_range("2001-01", periods=N, freq="M"),
            "quarter": pd.PeriodIndex(
                [None if number % 10 == 0 else f"20{10 + number % 9}Q1" for number in range(N)], freq="Q"
            ),
        }
    )


@cache
def mixed_generator() -> TableVAE:
    return train_table(mixed_table(), TableTraining(epochs=8, latent_dim=6, quality=False))
