"""Kill fits and trainings at random moments, more than half of them while something is written, and go on.

    python benchmarks/kills.py --kills 44

Prints how many came to the same bytes as one that nobody killed. Every piece is written as soon as there is one, so
that kills meet writing often: how much time a kill may cost is the interval of 5 seconds, and is not measured here.
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

import torch

import likethat as lt
from likethat._checkpoint import Checkpoint

WHILE_WRITING = 24 / 44  # the share of kills that meet a file that is being written
TIMED = {"manifest.json", "generator.json", "card.md"}  # when it was made, and in how many seconds


def fit(folder: Path, *, resume: bool) -> None:
    """Fit a bank and save it."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(320, 3, 16, 16, generator=rng, dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
        network = torch.nn.Sequential(*layers, torch.nn.Linear(32, 4)).eval()
    model = lt.split(network, example=images[:4])
    bank = lt.EPIC(2).fit(model, images, checkpoint=folder / "left", resume=resume)
    bank.save(folder / "made", overwrite=True)


def train(folder: Path, *, resume: bool) -> None:
    """Train a generator of texts and save it."""
    texts = [f"text {place} of {place % 7}" for place in range(200)]
    made = lt.train_generator(texts, kind="text", epochs=4, checkpoint=folder / "left", resume=resume)
    made.save(folder / "made", overwrite=True)


def begun(work: Callable[..., None], folder: Path, *, resume: bool) -> int:
    """Run work in a process of its own and return its number."""
    child = os.fork()
    if child == 0:
        try:
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - the process ends with it
            work(folder, resume=resume)
            os._exit(0)
        finally:
            os._exit(1)
    return child


def is_writing(folder: Path) -> bool:
    """Return whether a hidden file or folder of a writer lies there."""
    return any(".likethat-" in name for root, folders, files in os.walk(folder) for name in (*folders, *files))


def killed(work: Callable[..., None], folder: Path, *, seconds: float, while_writing: bool) -> str:
    """Kill work some seconds after its begin, or at the next writing after them; return what it met."""
    child = begun(work, folder, resume=False)
    time.sleep(seconds)
    while (
        while_writing
        and not is_writing(folder)
        and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    ):
        pass
    met = "writing" if is_writing(folder) else "other work"
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return met if os.WIFSIGNALED(status) else "its end"


def same(one: Path, other: Path) -> bool:
    """Return whether two folders hold the same files, byte for byte, but for what tells the time."""
    names = [sorted(path.relative_to(at) for path in at.rglob("*") if path.is_file()) for at in (one, other)]
    kept = [name for name in names[0] if name.name not in TIMED]
    return names[0] == names[1] and all((one / name).read_bytes() == (other / name).read_bytes() for name in kept)


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=44)
    n = parser.parse_args().kills
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    Checkpoint.is_due = lambda _: True  # type: ignore[method-assign]
    rng, good, met = random.Random(0), 0, {"writing": 0, "other work": 0, "its end": 0}
    with tempfile.TemporaryDirectory() as place:
        whole, took = {}, {}
        for work in (fit, train):
            started = time.monotonic()
            os.waitpid(begun(work, Path(place, work.__name__), resume=False), 0)
            print(f"{work.__name__}: {time.monotonic() - started:.1f} s", flush=True)
            whole[work], took[work] = Path(place, work.__name__, "made"), time.monotonic() - started
        for number in range(n):
            work, folder = (fit, train)[number % 2], Path(place, str(number))
            seconds = rng.uniform(0, took[work])
            met[killed(work, folder, seconds=seconds, while_writing=number < n * WHILE_WRITING)] += 1
            has_left = (folder / "left" / "checkpoint.json").exists()
            if has_left or not (folder / "made").exists():
                os.waitpid(begun(work, folder, resume=has_left), 0)
            good += same(whole[work], folder / "made") and [one.name for one in folder.iterdir()] == ["made"]
            print(f"{good} of {number + 1} ({work.__name__}); met {met}", flush=True)
    print(f"{good} of {n} came to the same bytes with nothing left beside them; kills met {met}")


if __name__ == "__main__":
    main()
