"""Kill fits and trainings at random moments, more than half of them while something is written, and go on.

    python benchmarks/kills.py --kills 44

A kill is SIGKILL. Of 44, 24 fall just before a random change on disk (a file opened to be written, moved or removed; a
folder made or removed), 20 at a random time. The next run goes on where a checkpoint lies, else begins anew. Prints
for each kind of work how many came to the same bytes as one that nobody killed, and how many left nothing beside them.
Every piece is written as soon as there is one there, so that there is much writing to meet.

    python benchmarks/kills.py --kills 0 --slow 6

The default interval: two longer pieces of work are killed at random times; prints the seconds of work that a kill cost:
those of the processor until the kill and in the run that goes on, less those of a run that nobody kills.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from _changes import before_changes

import likethat as lt
from likethat import papers
from likethat._checkpoint import Checkpoint

WHILE_WRITING = 24 / 44  # the share of kills that fall before a change on disk
TIMED = {"manifest.json", "generator.json", "card.md"}  # when it was made, and in how many seconds

Work = Callable[..., None]


def model_and_images(n: int) -> tuple[lt.SplitModel, torch.Tensor]:
    """Return a small network of four classes and images for it, the same ones always."""
    images = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(32, 4)).eval()
    return lt.split(network, example=images[:4]), images


def fit_epic(folder: Path, *, resume: bool) -> None:
    """Fit a bank of channels and save it."""
    model, images = model_and_images(320)
    bank = lt.EPIC(2).fit(model, images, checkpoint=folder / "left", resume=resume)
    bank.save(folder / "made", overwrite=True)


def fit_by_ascent(folder: Path, *, resume: bool) -> None:
    """Fit a bank by gradient ascent, which leaves its epochs, and save it."""
    model, images = model_and_images(64)
    bank = papers.EPIC(2, epochs=20).fit(model, images, checkpoint=folder / "left", resume=resume)
    bank.save(folder / "made", overwrite=True)


def fit_parts(folder: Path, *, resume: bool) -> None:
    """Fit a bank of parts and save it."""
    model, images = model_and_images(160)
    source = lt.Images(images, labels=[0, 1, 2, 3] * 40)
    bank = lt.PartPrototypes(n_parts=2, n_prototypes=2).fit(model, source, checkpoint=folder / "left", resume=resume)
    bank.save(folder / "made", overwrite=True)


def train_texts(folder: Path, *, resume: bool) -> None:
    """Train a generator of texts and save it."""
    texts = [f"text {place} of {place % 7}" for place in range(200)]
    made = lt.train_generator(texts, kind="text", epochs=4, checkpoint=folder / "left", resume=resume)
    made.save(folder / "made", overwrite=True)


def train_table(folder: Path, *, resume: bool) -> None:
    """Train a generator of rows and save it."""
    frame = pd.DataFrame({"age": [place % 47 for place in range(300)], "kind": ["a", "b", "c"] * 100})
    made = lt.train_generator(frame, kind="table", epochs=6, checkpoint=folder / "left", resume=resume)
    made.save(folder / "made", overwrite=True)


def fit_long(folder: Path, *, resume: bool) -> None:
    """Fit a bank to a network that takes its time."""
    images = torch.rand(1500, 3, 96, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [torch.nn.Conv2d(3, 64, 5, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(64, 128, 5), torch.nn.ReLU()]
        network = torch.nn.Sequential(*body, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(128, 4))
    model = lt.split(network.eval(), example=images[:4])
    bank = lt.EPIC(2).fit(model, images, checkpoint=folder / "left", resume=resume)
    bank.save(folder / "made", overwrite=True)


def train_long(folder: Path, *, resume: bool) -> None:
    """Train a generator of rows for long."""
    frame = pd.DataFrame({"age": [place % 47 for place in range(3000)], "kind": ["a", "b", "c"] * 1000})
    made = lt.train_generator(frame, kind="table", epochs=120, checkpoint=folder / "left", resume=resume)
    made.save(folder / "made", overwrite=True)


WORKS: tuple[Work, ...] = (fit_epic, fit_by_ascent, fit_parts, train_texts, train_table)


def begun(work: Work, folder: Path, *, resume: bool, watch: Callable[[], None] | None = None) -> int:
    """Run work in a process of its own and return its number; `watch` is called before every change on disk."""
    child = os.fork()
    if child == 0:
        try:
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends with it
            if watch is not None:
                before_changes(watch)
            work(folder, resume=resume)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def changes_of(work: Work, folder: Path) -> int:
    """Do work whole and return how many changes on disk it makes."""
    read, write = os.pipe()
    child = begun(work, folder, resume=False, watch=lambda: os.write(write, b"."))  # type: ignore[arg-type, return-value]
    os.close(write)
    n = 0
    while piece := os.read(read, 65_536):
        n += len(piece)
    os.close(read)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{work.__name__} must come to its end when nobody kills it.")
    return n


def dying_at(change: int) -> Callable[[], None]:
    """Return what kills the process before its so manieth change on disk."""
    left = [change]

    def watch() -> None:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return watch


def same(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same files, byte for byte, but for what tells the time."""
    names = [sorted(path.relative_to(at) for path in at.rglob("*") if path.is_file()) for at in (one, other)]
    kept = [name for name in names[0] if name.name not in TIMED]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in kept)


def go_on(work: Work, folder: Path, *, whole: Path) -> tuple[bool, bool]:
    """Do what a person does after a kill; return whether the bytes are the same, and whether nothing lies beside."""
    has_left = (folder / "left" / "checkpoint.json").exists()
    status = os.waitpid(begun(work, folder, resume=has_left), 0)[1]
    return status == 0 and same(whole, folder / "made"), [one.name for one in folder.iterdir()] == ["made"]


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=44)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slow", type=int, default=0, help="kills of longer work, with the default interval")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if given.slow:
        cost(given.slow, random.Random(given.seed))
    if given.kills:
        count(given.kills, random.Random(given.seed))


def cost(n: int, rng: random.Random) -> None:
    """Print what kills of longer work cost."""
    print("| work | seconds | killed after | gone on for | lost |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        took: dict[Work, tuple[float, float]] = {}
        for number in range(n):
            work, folder = (fit_long, train_long)[number % 2], Path(place, str(number))
            if work not in took:
                started = time.monotonic()
                used = seconds_of(begun(work, Path(place, work.__name__), resume=False))
                took[work] = used, time.monotonic() - started
            whole, lasted = took[work]
            child = begun(work, folder, resume=False)
            time.sleep(rng.uniform(0, lasted))
            os.kill(child, signal.SIGKILL)
            after = seconds_of(child)
            again = seconds_of(begun(work, folder, resume=(folder / "left" / "checkpoint.json").exists()))
            if not same(Path(place, work.__name__, "made"), folder / "made"):
                print("the bytes differ")
            lost = after + again - whole
            print(f"| {work.__name__} | {whole:.1f} | {after:.1f} | {again:.1f} | {lost:.1f} |", flush=True)


def seconds_of(child: int) -> float:
    """Wait for a process and return the seconds of the processor that it took."""
    used = os.wait4(child, 0)[2]
    return used.ru_utime + used.ru_stime


def count(n: int, rng: random.Random) -> None:
    """Print what kills of short work, most of them at a change on disk, came to."""
    Checkpoint.is_due = lambda _: True  # type: ignore[method-assign]
    rows: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as place:
        whole = {work: Path(place, work.__name__) for work in WORKS}
        changes, took = {}, {}
        for work in WORKS:
            started = time.monotonic()
            changes[work], took[work] = changes_of(work, whole[work]), time.monotonic() - started
        for number in range(n):
            work, folder = WORKS[number % len(WORKS)], Path(place, str(number))
            is_write = number < n * WHILE_WRITING
            child = begun(
                work, folder, resume=False, watch=dying_at(rng.randrange(changes[work])) if is_write else None
            )
            if not is_write:
                time.sleep(rng.uniform(0, took[work]))
                os.kill(child, signal.SIGKILL)
            was_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
            is_same, is_clean = go_on(work, folder, whole=whole[work] / "made")
            row = rows.setdefault(work.__name__, [0, 0, 0, 0, 0])
            for column, value in enumerate((1, is_write, was_killed, is_same, is_clean)):
                row[column] += value
            if not (is_same and is_clean):
                kind = "at a change on disk" if is_write else "at a random time"
                left = sorted(one.name for one in folder.iterdir())
                print(f"kill {number} of {work.__name__} {kind}: same bytes {is_same}, lies there: {left}", flush=True)
    print("| work | kills | before a change on disk | met it alive | same bytes | nothing left beside |")
    print("|---|---|---|---|---|---|")
    for name, row in [*rows.items(), ("all", [sum(column) for column in zip(*rows.values(), strict=True)])]:
        print(f"| {name} | {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
