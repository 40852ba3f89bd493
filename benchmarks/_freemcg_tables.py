"""Counterfactuals of table rows: beside the nearest unlike neighbour, and DiCE where it is installed."""

import importlib.util
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _rows import Row, Rows
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import likethat as lt
from likethat.generators.table.training import train_table
from likethat.options import TableTraining


class Counting:
    """A fitted estimator that counts the rows it answers, as DiCE asks it."""

    def __init__(self, fitted: Any) -> None:
        self.fitted, self.queries = fitted, 0
        self.classes_ = fitted.classes_

    def predict(self, X: Any) -> Any:
        self.queries += len(X)
        return self.fitted.predict(X)

    def predict_proba(self, X: Any) -> Any:
        self.queries += len(X)
        return self.fitted.predict_proba(X)


@dataclass(frozen=True)
class Case:
    """One table with a model, an oracle, and rows with a class to become.

    Attributes:
        spread: standard deviation of each column: distances are in these.
    """

    X: Any
    y: Any
    model: Any
    judge: Any
    sources: list[Any]
    targets: list[int]
    spread: Any

    def row(self, make: Callable[[Any, int], tuple[Any, float]]) -> Row:
        """Measure one method: a source and a target to a row and the queries it took; None where it found none."""
        started = time.perf_counter()
        made = [make(source, target) for source, target in zip(self.sources, self.targets, strict=True)]
        seconds = (time.perf_counter() - started) / len(made)
        found = [source if row is None else row for (row, _), source in zip(made, self.sources, strict=True)]
        valid = [self.model.predict(row)[0] == target for row, target in zip(found, self.targets, strict=True)]
        agrees = [
            ok and self.judge.predict(row)[0] == target
            for ok, row, target in zip(valid, found, self.targets, strict=True)
        ]
        gaps = [
            np.abs(row.to_numpy(float) - source.to_numpy(float))[0]
            for ok, row, source in zip(valid, found, self.sources, strict=True)
            if ok
        ]
        return {
            "valid": float(np.mean(valid)), "and oracle": float(np.mean(agrees)),
            "L1": float(np.mean([(gap / self.spread).mean() for gap in gaps])),
            "columns": float(np.mean([(gap > 1e-9).sum() for gap in gaps])),
            "queries": float(np.mean([queries for _, queries in made])), "s": seconds,
        }  # fmt: skip


def case(load: Any, n: int) -> Case:
    """Split a table, fit model and oracle."""
    data = load(as_frame=True)
    order = np.random.default_rng(0).permutation(len(data.data))
    cut = int(0.7 * len(order))
    X, y, held = data.data.iloc[order[:cut]], data.target.iloc[order[:cut]], data.data.iloc[order[cut:]]
    model = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=800, random_state=0)).fit(X, y)
    sources = [held.iloc[[index]] for index in range(min(n, len(held)))]
    targets = [int((model.predict(row)[0] + 1) % y.nunique()) for row in sources]
    judge = RandomForestClassifier(200, random_state=1).fit(X, y)
    return Case(X, y, model, judge, sources, targets, X.std().to_numpy())


def tables(rows: Rows) -> None:
    """Two tables."""
    for name, load in {"breast-cancer": load_breast_cancer, "wine": load_wine}.items():
        task = case(load, 10 if rows.quick else 50)
        rows.add("tables", f"{name}: ours, 200 queries", lambda task=task: task.row(ours(task, 200)))
        rows.add("tables", f"{name}: ours, 100 queries", lambda task=task: task.row(ours(task, 100)))
        rows.add("tables", f"{name}: nearest unlike neighbour", lambda task=task: task.row(neighbour(task)))
        if importlib.util.find_spec("dice_ml"):
            for method in ("random", "genetic"):
                rows.add("tables", f"{name}: DiCE, {method}", lambda t=task, m=method: t.row(dice(t, m)))


def ours(task: Case, budget: int) -> Callable[[Any, int], tuple[Any, float]]:
    """Return FreeMCG in the latents of a table's generator."""
    method = lt.FreeMCG(train_table(task.X, TableTraining(seed=0)))

    def make(source: Any, target: int) -> tuple[Any, float]:
        found = method.counterfactual(lt.BlackBox(task.model), source, target, budget=budget)
        return found.best.input, found.queries

    return make


def neighbour(task: Case) -> Callable[[Any, int], tuple[Any, float]]:
    """Return the nearest training row of the target: no query, but the data."""

    def make(source: Any, target: int) -> tuple[Any, float]:
        gaps = (task.X[task.y == target] - source.iloc[0]).abs() / task.spread
        return task.X.loc[[gaps.mean(axis=1).idxmin()]], 0

    return make


def dice(task: Case, method: str) -> Callable[[Any, int], tuple[Any, float]]:
    """Return DiCE (Mothilal, Sharma and Tan 2020), as its package has it."""
    import dice_ml
    from raiutils.exceptions import UserConfigValidationException

    counting = Counting(task.model)
    frame = task.X.assign(label=task.y)
    data = dice_ml.Data(dataframe=frame, continuous_features=list(task.X.columns), outcome_name="label")
    search = dice_ml.Dice(data, dice_ml.Model(model=counting, backend="sklearn"), method=method)

    def make(source: Any, target: int) -> tuple[Any, float]:
        before = counting.queries
        options = {"random_seed": 0} if method == "random" else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = search.generate_counterfactuals(
                    source, total_CFs=1, desired_class=target, verbose=False, **options
                )
            except UserConfigValidationException:  # it found none
                return None, counting.queries - before
        made = found.cf_examples_list[0].final_cfs_df
        if made is None or not len(made):
            return None, counting.queries - before
        return made[task.X.columns].iloc[[0]].astype(float), counting.queries - before

    return make
