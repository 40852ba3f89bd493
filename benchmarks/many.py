"""Measure counterfactuals of many table rows in one call (`explain_all`) beside one after the other.

    python benchmarks/many.py                   # 100 rows, a service that takes 0.1 s a request
    python benchmarks/many.py --rows 10 --wait 0

Both ask a random forest of scikit-learn's breast cancer table (569 rows, 30 columns; half of it unseen) behind a wait a
request. Questions and results must be the same; "own" is the time that the model did not take.
"""

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

import likethat as lt
from likethat.generators.table.training import train_table
from likethat.options import TableTraining

BUDGET = 200  # the default of a search


@dataclass
class Service:
    """A forest that takes its time a request, and keeps count."""

    forest: RandomForestClassifier
    wait: float
    requests: int = 0
    rows: int = 0
    seconds: float = 0.0

    def __call__(self, frame: Any) -> Any:
        """Answer after the wait."""
        began = time.perf_counter()
        time.sleep(self.wait)
        answer = self.forest.predict_proba(frame)
        self.requests, self.rows = self.requests + 1, self.rows + len(frame)
        self.seconds += time.perf_counter() - began
        return answer


def values(found: Any) -> str:
    """Return a result as text, without the time that it took."""
    return json.dumps(found.to_dict() | {"seconds": 0})


def main() -> None:
    """Ask in both ways, and print a row of each."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--rows", type=int, default=100)
    told.add_argument("--wait", type=float, default=0.1, help="seconds a request")
    given = told.parse_args()
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    known, held = X[::2], X[1::2].iloc[: given.rows]
    forest = RandomForestClassifier(100, random_state=0).fit(known, y[::2])
    made = train_table(known, TableTraining())
    lt.explain(lt.BlackBox(forest), held.iloc[[0]], generator=made, budget=BUDGET)  # what it makes ready is left out
    took, results = {}, {}
    for way in ("one by one", "together"):
        service, began = Service(forest, given.wait), time.perf_counter()
        box = lt.BlackBox(service, class_names=["malignant", "benign"])
        if way == "together":
            found = list(lt.explain_all(box, held, generator=made, budget=BUDGET, at_once=64))
        else:
            rows = [held.iloc[[row]] for row in range(len(held))]
            found = [lt.explain(box, row, generator=made, budget=BUDGET) for row in rows]
        took[way], results[way] = time.perf_counter() - began, [values(one) for one in found]
        print(
            f"{way:<11} {took[way]:7.1f} s, of it own {took[way] - service.seconds:6.1f} s; "
            f"{service.requests:,} requests, {service.rows:,} rows",
            flush=True,
        )
    same = sum(one == other for one, other in zip(results["one by one"], results["together"], strict=True))
    print(f"{took['one by one'] / took['together']:.2f} times faster; {same} of {len(held)} results the same")


if __name__ == "__main__":
    main()
