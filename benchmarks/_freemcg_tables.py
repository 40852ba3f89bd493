"""Counterfactuals of table rows: beside the nearest unlike neighbour, and DiCE where it is installed."""

import time
from functools import partial
from typing import Any

import numpy as np
import torch
from _rows import Row, Rows
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import likethat as lt
from likethat import metrics
from likethat.generators.table_training import train_table


def tables(rows: Rows) -> None:
    for name, load in {"breast-cancer": load_breast_cancer, "wine": load_wine}.items():
        data = load(as_frame=True)
        order = np.random.default_rng(0).permutation(len(data.data))
        cut = int(0.7 * len(order))
        X, y, held = data.data.iloc[order[:cut]], data.target.iloc[order[:cut]], data.data.iloc[order[cut:]]
        model = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=800, random_state=0)).fit(X, y)
        judge = RandomForestClassifier(200, random_state=1).fit(X, y)
        sources = [held.iloc[[index]] for index in range(10 if rows.quick else 40)]
        targets = [int((model.predict(row)[0] + 1) % y.nunique()) for row in sources]
        rows.add("tables", f"{name}: ours, 200", partial(_table_row, X, model, judge, sources, targets))
        near = partial(_table_neighbours, X, y, model, judge, sources, targets)
        rows.add("tables", f"{name}: nearest unlike neighbour", near)


def _table_row(X: Any, model: Any, judge: Any, sources: list[Any], targets: list[int]) -> Row:
    generator = train_table(X, seed=0)
    method = lt.FreeMCG(generator)
    started = time.perf_counter()
    found = [method.counterfactual(lt.BlackBox(model), row, t) for row, t in zip(sources, targets, strict=True)]
    seconds = (time.perf_counter() - started) / len(found)
    row = metrics.validity(found, oracle=[int(judge.predict(item.best.input)[0]) for item in found])
    spread = generator(generator.prior.sample(256, rng=torch.Generator().manual_seed(0))).std()
    l1 = [float(((item.best.input - source.values).abs() / spread).mean(axis=1).iloc[0])
          for item, source in zip(found, sources, strict=True)]  # fmt: skip
    changed = float(np.mean([len(item.best.changes) for item in found]))
    return {"valid": row.model, "and oracle": row.oracle, "L1": float(np.mean(l1)), "columns": changed,
            "queries": row.queries, "s": seconds}  # fmt: skip


def _table_neighbours(X: Any, y: Any, model: Any, judge: Any, sources: list[Any], targets: list[int]) -> Row:
    valid, agrees, l1, columns = [], [], [], []
    for source, target in zip(sources, targets, strict=True):
        gaps = (X[y == target] - source.iloc[0]).abs() / X.std()
        found = X.loc[[gaps.mean(axis=1).idxmin()]]
        valid.append(model.predict(found)[0] == target)
        agrees.append(valid[-1] and judge.predict(found)[0] == target)
        l1.append(float(gaps.mean(axis=1).min()))
        columns.append(int((found.iloc[0] != source.iloc[0]).sum()))
    return {"valid": float(np.mean(valid)), "and oracle": float(np.mean(agrees)), "L1": float(np.mean(l1)),
            "columns": float(np.mean(columns)), "queries": 0.0, "s": 0.0}  # fmt: skip
