"""How real the rows of a generator are: made ones, and real ones that were kept back, beside those learned from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from likethat.generators.comparing import FEWEST, median, share
from likethat.generators.quality import Compared
from likethat.generators.table.columns import Column
from likethat.generators.table.copies import Learned
from likethat.generators.table.dependences import Dependence, broken_by
from likethat.generators.table.quality import compare_tables
from likethat.generators.table.scale import Scale

if TYPE_CHECKING:
    import pandas as pd

_MOST_PAIRS = 20  # pairs of columns that are named: those that differ most; their mean is over all


def made_rows(generator: Any, n: int, *, seed: int) -> "pd.DataFrame":
    """Return rows of a generator of latents."""
    rng = torch.Generator().manual_seed(seed + 3)  # after training, encoding and calibration, which take seed to + 2
    made: pd.DataFrame = generator(generator.prior.sample(n, rng=rng))
    return made


def compared_rows(
    made: "pd.DataFrame",
    kept_back: "pd.DataFrame",
    learned: "pd.DataFrame",
    *,
    columns: Sequence[Column],
    dependences: Sequence[Dependence],
    seed: int,
) -> tuple[Compared, ...]:
    """Measure made rows, and real ones beside them.

    Args:
        made: by the generator, as many as `kept_back`.
        kept_back: real rows that it did not learn from.
        learned: real rows that it learned from. As many of them as were kept back are the other real half.
        columns: of the table.
        dependences: found in what was learned.
        seed: of draws and trees.
    """
    if len(kept_back) < FEWEST:
        return ()
    few = np.random.default_rng(seed).permutation(len(learned))[: len(kept_back)]
    against = compare_tables(kept_back, made, columns, seed=seed)
    halves = compare_tables(kept_back, learned.iloc[few], columns, seed=seed)
    known = Learned(learned, columns, seed=seed)
    auc = Compared(
        what="whole",
        name="auc",
        made=against.detection,
        real=halves.detection,
        made_error=against.detection_error,
        real_error=halves.detection_error,
    )
    whole = [
        auc,
        Compared(what="whole", name="columns", made=against.column_distance, real=halves.column_distance),
        Compared(what="whole", name="pairs", made=against.correlation_error, real=halves.correlation_error),
        share("copies", known.copied(made), known.copied(kept_back)),
        median("nearest", known.distances(made), known.distances(kept_back)),
    ]
    if dependences:
        whole.append(share("broken", *(_broken(rows, columns, dependences) for rows in (made, kept_back))))
    of_columns = [
        Compared(what="column", name=name, made=value, real=halves.columns[name])
        for name, value in against.columns.items()
    ]
    return (*whole, *of_columns, *_pairs(against.pairs, halves.pairs))


def _pairs(made: Any, real: Any) -> list[Compared]:
    named = sorted(made, key=lambda pair: real[pair] - made[pair])[:_MOST_PAIRS]
    return [
        Compared(what="pair", name=f"{first} and {second}", made=made[first, second], real=real[first, second])
        for first, second in named
    ]


def _broken(
    rows: "pd.DataFrame", columns: Sequence[Column], dependences: Sequence[Dependence]
) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return which rows break a dependence."""
    names = {name for each in dependences for name in (each.first, each.second)}
    scales = {column.name: Scale(column) for column in columns if column.name in names}
    places = {name: scale.positions(rows[name]) for name, scale in scales.items()}
    return np.asarray(broken_by(dependences, scales, places, len(rows)).any(axis=1), dtype=bool)
