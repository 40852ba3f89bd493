"""How much of a fit or a training goes into writing its checkpoint, and when the first piece lies there.

    python benchmarks/checkpoints.py             at the usual interval, and as often as there is something to write
    python benchmarks/checkpoints.py --write     also to benchmarks/results/checkpoints.md, when all work was done
    python benchmarks/checkpoints.py --minutes 14    a piece of it; again, until nothing is left
    python benchmarks/checkpoints.py --processor     in seconds of the processor, by the library's clock too: what a
                                                     busy machine takes from both is left out, and waits for the disk

Writing is all that the checkpoint does from its folder's making to its going when the result is saved. Exit code 1
where it takes more than a tenth of the seconds.
"""

import argparse
import functools
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _torchvision  # noqa: F401 - before anything imports torchvision
import pandas as pd
import torch
from _measure import markdown, write_results
from _pieces import Pieces, take_minutes

import likethat as lt
from likethat import papers
from likethat._checkpoint import EVERY, Checkpoint

MOST = 0.1  # of the seconds may go into writing
INTERVALS = (EVERY, 0.0)  # seconds; at 0 only the share of a tenth holds it back


def works() -> dict[str, Callable[..., Any]]:
    """Return fits and trainings of ten seconds to a minute on one core, by name."""
    texts = [f"the {place % 7} of number {place}, {'good' if place % 3 else 'bad'}" for place in range(600)]
    frame = pd.DataFrame({"age": [place % 47 for place in range(900)], "kind": ["a", "b", "c"] * 300})
    creatures = lt.creatures(900, seed=1)
    return {
        "EPIC": lambda **how: lt.EPIC().fit(lt.load("zoo:creatures"), creatures, **how),
        "EPIC as published": lambda **how: papers.EPIC(epochs=30).fit(lt.load("zoo:creatures"), creatures, **how),
        "PartPrototypes": lambda **how: lt.PartPrototypes().fit(lt.load("zoo:creatures"), creatures, **how),
        "ProDG": lambda **how: lt.ProDG(lt.load_generator("zoo:digits"), n_samples=400, steps=8).fit(
            lt.load("zoo:digits"), channels=list(range(8)), **how
        ),
        "image flow": lambda **how: lt.train_generator(lt.digits(), algorithm="flow", size=16, steps=60, **how),
        "image VAE": lambda **how: lt.train_generator(lt.digits(), size=16, steps=120, **how),
        "table VAE": lambda **how: lt.train_generator(frame, kind="table", epochs=60, **how),
        "text VAE": lambda **how: lt.train_generator(texts, kind="text", epochs=8, **how),
    }


class Clock:
    """Measures what the methods of `Checkpoint` take, and when the first piece lies there."""

    def __init__(self) -> None:
        self.spent, self.pieces, self.first, self.started = 0.0, 0, float("nan"), time.perf_counter()

    def timed(self, name: str) -> Callable[..., Any]:
        """Return a method of `Checkpoint` that is measured."""
        method = getattr(Checkpoint, name)

        @functools.wraps(method)
        def measured(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                now = time.perf_counter()
                self.spent += now - begun
                if name == "write_state":
                    self.pieces += 1
                    self.first = now - self.started if self.pieces == 1 else self.first

        return measured


def measure(name: str, work: Callable[..., Any], *, every: float) -> dict[str, Any]:
    """Do one piece of work and return its row."""
    clock, methods = Clock(), ("__init__", "write_state", "remove")
    own = {method: getattr(Checkpoint, method) for method in methods}
    try:
        for method in methods:
            setattr(Checkpoint, method, clock.timed(method))
        with tempfile.TemporaryDirectory() as folder:
            result = work(checkpoint=Path(folder, "c"), checkpoint_every=every)
            result.save(Path(folder, "made"))
    finally:
        for method, before in own.items():
            setattr(Checkpoint, method, before)
    seconds = time.perf_counter() - clock.started
    share = clock.spent / seconds
    return {
        "work": name,
        "interval s": every,
        "seconds": round(seconds, 1),
        "pieces": clock.pieces,
        "first after s": round(clock.first, 1),
        "writing s": round(clock.spent, 3),
        "writing %": round(100 * share, 1),
    }


def main() -> int:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="work whose name holds this")
    parser.add_argument("--processor", action="store_true", help="count seconds of the processor, on a busy machine")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/checkpoints.md")
    take_minutes(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if options.processor:
        time.monotonic = time.perf_counter = time.process_time
    made = works()
    chosen = [(name, every) for name in made for every in INTERVALS if not options.only or options.only in name]
    pieces = Pieces.of("checkpoints", minutes=options.minutes, processor=options.processor)
    found = pieces.read()
    for name, every in chosen:
        key = f"{name}, every {every}"
        if key not in found and not pieces.is_over:
            found[key] = measure(name, made[name], every=every)
            pieces.add(key, found[key])
            print(found[key], flush=True)
    rows = [found[key] for name, every in chosen if (key := f"{name}, every {every}") in found]
    print(markdown(rows))
    if len(rows) < len(chosen):
        print(f"{len(chosen) - len(rows)} rows are left: the same command goes on.")
    elif options.write and not options.only:
        write_results(
            Path(__file__).parent / "results" / "checkpoints.md",
            title="What a checkpoint costs",
            command=f"python benchmarks/checkpoints.py {'--processor ' * options.processor}--write",
            sections=[("Work" + ", in seconds of the processor" * options.processor, rows)],
        )
    return 1 if any(row["writing %"] > 100 * MOST for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
