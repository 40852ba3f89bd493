"""Measure counterfactuals of many table rows in one call (`explain_all`) beside one after the other.

    python benchmarks/many.py                            # 100 rows, three times; writes results/many.md
    python benchmarks/many.py --rows 20 --times 2 --ways forest "20 ms"

Rows are of scikit-learn's breast cancer table (569 rows, 30 columns): half of it trains the model and the generator,
the rows that are explained are drawn anew each time from the other half. Each time all of them are explained in one
call, and a quarter of them one after the other, whose seconds count four times: they add up. Both must find the same to
the byte. The interval of how many times faster is that of the mean of the logarithms (Student's t, 95 %).

Seconds are the processor's, of the whole process, and those slept in: what it takes on a processor of its own, for
others may work on the machine meanwhile.

The models: `forest`, 100 trees of scikit-learn; `boosted`, its histogram gradient boosting; `20 ms` and `100 ms`, that
forest behind a function that sleeps so long a call, as a service would take, whatever the number of rows.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

import likethat as lt
from likethat.generators.table.training import train_table
from likethat.options import TableTraining

ROWS = 100
BUDGET = 200  # the default of a search
RESULTS = Path(__file__).parent / "results" / "many.md"
WAITS = {"forest": 0.0, "boosted": 0.0, "20 ms": 0.02, "100 ms": 0.1}
PART = 4  # of the rows one in so many is explained alone too
HEAD = """# Many rows in one call

`python benchmarks/many.py`: {rows} rows a time, {times} times, at most {budget} questions a row; all rows in one call
of `explain_all` (`at_once={rows}`) beside `explain` of one row after the other (a quarter of them, counted four times),
on one thread. Seconds of the processor and slept in, on the mean; "own" is when the model was not asked.

| model | one by one | of it own | calls | together | of it own | calls | times faster | same results |
|---|---|---|---|---|---|---|---|---|
"""


@dataclass
class Service:
    """A model that may take its time a call, and keeps count."""

    model: Any
    wait: float
    calls: int = 0
    seconds: float = 0.0

    def __call__(self, frame: Any) -> Any:
        """Answer after the wait."""
        time.sleep(self.wait)
        began = time.process_time()
        answer = self.model.predict_proba(frame)
        self.calls += 1
        self.seconds += time.process_time() - began
        return answer


@dataclass
class Way:
    """What one way of asking took, a time each."""

    seconds: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    calls: list[float] = field(default_factory=list)

    def measure(self, service: Service, explain: Callable[[lt.BlackBox], list[Any]], *, counts: int = 1) -> list[str]:
        """Explain, note what it took, and return what was found, without the time that it took."""
        box, began = lt.BlackBox(service, class_names=["malignant", "benign"]), time.process_time()
        found = explain(box)
        busy = time.process_time() - began
        self.seconds.append(counts * (busy + service.calls * service.wait))
        self.own.append(counts * (busy - service.seconds))
        self.calls.append(counts * service.calls)
        return [json.dumps(one.to_dict() | {"seconds": 0}) for one in found]


def measured(name: str, model: Any, made: Any, held: Any, given: argparse.Namespace) -> str:
    """Return a row of the table: both ways, as often as asked, on the same rows."""
    alone, together, rng, same, n = Way(), Way(), np.random.default_rng(0), 0, 0
    for _ in range(given.times):
        some = held.iloc[rng.choice(len(held), given.rows, replace=False)]

        def one_by_one(box: lt.BlackBox, some: Any = some) -> list[Any]:
            return [
                lt.explain(box, some.iloc[[row]], generator=made, budget=BUDGET) for row in range(0, len(some), PART)
            ]

        def in_one_call(box: lt.BlackBox, some: Any = some) -> list[Any]:
            return list(lt.explain_all(box, some, generator=made, budget=BUDGET, at_once=given.rows))

        first = alone.measure(Service(model, WAITS[name]), one_by_one, counts=PART)
        second = together.measure(Service(model, WAITS[name]), in_one_call)[::PART]
        n, same = n + len(first), same + sum(one == other for one, other in zip(first, second, strict=True))
    ratio = np.log(np.array(alone.seconds) / np.array(together.seconds))
    wide = stats.sem(ratio) * stats.t.ppf(0.975, len(ratio) - 1) if len(ratio) > 1 else float("nan")
    low, middle, high = np.exp([ratio.mean() - wide, ratio.mean(), ratio.mean() + wide])
    told = " | ".join(
        f"{np.mean(way.seconds):.1f} s | {np.mean(way.own):.1f} s | {np.mean(way.calls):,.0f}"
        for way in (alone, together)
    )
    return f"| {name} | {told} | {middle:.1f} ({low:.1f} to {high:.1f}) | {same:,} of {n:,} |"


def keep(row: str, head: str) -> None:
    """Write a row into the results; those of other models stay."""
    old = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    rows = {line.split("|")[1].strip(): line for line in [*old, row] if line.startswith("|")}
    RESULTS.write_text(head + "".join(f"{rows[name]}\n" for name in WAITS if name in rows), "utf-8")


def main() -> None:
    """Ask in both ways, and print a row a model."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--rows", type=int, default=ROWS)
    told.add_argument("--times", type=int, default=3)
    told.add_argument("--ways", nargs="+", choices=WAITS, default=list(WAITS))
    given = told.parse_args()
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    known, held = X[::2], X[1::2]
    forest = RandomForestClassifier(100, random_state=0).fit(known, y[::2])
    boosted = HistGradientBoostingClassifier(random_state=0).fit(known, y[::2])
    made = train_table(known, TableTraining())
    lt.explain(lt.BlackBox(forest), held.iloc[[0]], generator=made, budget=BUDGET)  # what it makes ready is left out
    head = HEAD.format(rows=given.rows, times=given.times, budget=BUDGET)
    print(head, end="", flush=True)
    for name in given.ways:
        row = measured(name, boosted if name == "boosted" else forest, made, held, given)
        print(row, flush=True)
        if given.rows == ROWS:
            keep(row, head)


if __name__ == "__main__":
    main()
