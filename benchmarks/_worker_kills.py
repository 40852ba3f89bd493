"""Kill workers, and drivers, at random moments of fits that Ray splits, and go on.

    OMP_NUM_THREADS=1 python benchmarks/_worker_kills.py 20            # ten minutes on two idle cores
    OMP_NUM_THREADS=1 python benchmarks/_worker_kills.py 20 --write    # also into benchmarks/results/workers.md

One kill (SIGKILL) a fit, by turns of a worker and of the driver, at a random moment after the first image has passed; a
kill that met nobody alive is made again. A driver is begun again with `resume`. Counted are the fits that came to the
bytes of one process, and how often any image passed through the network, which notes it, in both runs together. Ctrl-C
ends it with what was counted.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from _measure import machine, markdown
from kills import same
from PIL import Image
from torch import Tensor, nn

import likethat as lt
from likethat._checks import require

RESULTS = Path(__file__).parent / "results" / "workers.md"
HEADING = "## Kills at random moments"
N = 512  # images: 16 chunks, so that there is something before and behind a kill
SIZE = 64
DO = "import sys; from _worker_kills import do; do(*sys.argv[1:])"


class Counted(nn.Module):
    """Notes which images pass and in which process; images bear their number in their first pixel."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.place, self.is_counting = place, False

    def forward(self, images: Tensor) -> Tensor:
        """Note, and pass on."""
        if self.is_counting:
            first = (images[:, :2, 0, 0].detach() * 255).round().int()
            marks = sorted({256 * int(row[0]) + int(row[1]) for row in first})
            with (self.place / "passed").open("a") as file:
                file.write("".join(f"{os.getpid()} {mark}\n" for mark in marks))
        return images


def model_in(place: Path) -> lt.SplitModel:
    """Return a network that takes some milliseconds an image, the same one always."""
    torch.manual_seed(0)
    body: list[nn.Module] = [nn.Conv2d(3, 48, 5, 2), nn.ReLU(), nn.Conv2d(48, 64, 5), nn.ReLU(), nn.Conv2d(64, 32, 3)]
    tail = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4)]
    counted = Counted(place)
    model = lt.split(nn.Sequential(counted, *body, *tail).eval(), example=pixels(4).float() / 255)
    counted.is_counting = True
    return model


def pixels(n: int) -> Tensor:
    """Return images that bear their number."""
    images = torch.randint(256, (n, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = torch.arange(n) // 256, torch.arange(n) % 256
    return images


class Coloured:
    """Makes pictures of 4 x 4 colours."""

    kind, differentiable = "image", True
    prior = lt.generators.priors.StandardNormal(48)

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the pictures of latents."""
        tiles = torch.sigmoid(2 * latents).reshape(-1, 3, 4, 4)
        return tiles.repeat_interleave(SIZE // 4, 2).repeat_interleave(SIZE // 4, 3)


def do(work: str, folder: str, photos: str, workers: str, resume: str) -> None:
    """Fit and save; runs in a process of its own, the driver."""
    place = Path(folder)
    model, left = model_in(place), place / "left"
    how: dict[str, Any] = {"checkpoint": left, "checkpoint_every": 0.2, "resume": resume == "resume"}
    how["workers"] = 0 if workers == "0" else workers
    if work == "images read by workers":
        bank = lt.EPIC(2).fit(model, Path(photos), **how)
    elif work == "images sent to workers":
        bank = lt.EPIC(2).fit(model, pixels(N).float() / 255, **how)
    else:
        method = lt.ProDG(Coloured(), n_prototypes=2, n_samples=96, steps=4, batch=8)
        bank = method.fit(model, **how)
    bank.save(place / "made", overwrite=True)


WORKS = ("images read by workers", "images sent to workers", "channels of ProDG")


@contextmanager
def nodes() -> Iterator[None]:
    """Give two Ray nodes in this machine, a worker each, to the processes that are begun here."""
    cluster_of = require("ray.cluster_utils", purpose="This benchmark").Cluster
    cluster = cluster_of(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        os.environ["RAY_ADDRESS"] = cluster.address
        yield
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        cluster.shutdown()


def begun(work: str, folder: Path, photos: Path, *, workers: str = "ray", resume: bool = False) -> Any:
    """Begin a driver."""
    folder.mkdir(exist_ok=True)
    words = [work, folder, photos, workers, "resume" if resume else "anew"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
    with (folder / "said").open("ab") as said:
        return subprocess.Popen([sys.executable, "-c", DO, *map(str, words)], env=here, stdout=said, stderr=said)


def passes(folder: Path) -> list[tuple[int, int]]:
    """Return the process and the image of each pass so far."""
    try:
        lines = (folder / "passed").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines if line.count(" ") == 1]


def until_it_works(driver: Any, folder: Path) -> None:
    """Wait for the first image that passes."""
    while driver.poll() is None and not passes(folder):
        time.sleep(0.01)


def killed(driver: Any, folder: Path, *, worker: bool, rng: random.Random) -> bool:
    """Kill the driver, or one of its workers; whether it was alive."""
    if driver.poll() is not None:
        return False
    if not worker:
        driver.kill()
        return True
    living = sorted({pid for pid, _ in passes(folder) if pid != driver.pid and is_worker(pid)})
    if living:
        os.kill(rng.choice(living), signal.SIGKILL)
    return bool(living)


def is_worker(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::")
    except OSError:
        return False


def count(n: int, rows: dict[tuple[str, bool], dict[str, Any]]) -> None:
    """Kill `n` times, one kill a fit, and note what came of it in rows."""
    rng, number = random.Random(0), 0
    with TemporaryDirectory() as scratch, nodes():
        place = Path(scratch)
        (place / "photos").mkdir()
        for index, image in enumerate(pixels(N)):
            Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(
                place / f"photos/{index:04d}.png"
            )
        lasted = {work: whole(work, place) for work in WORKS}
        while sum(row["kills"] for row in rows.values()) < n:
            work, is_of_worker = WORKS[number % 3], number % 2 == 0
            number += 1
            folder = place / str(number)
            driver = begun(work, folder, place / "photos")
            until_it_works(driver, folder)
            time.sleep(rng.uniform(0, lasted[work]))
            if not killed(driver, folder, worker=is_of_worker, rng=rng):
                driver.wait()
                continue  # it had ended, or had no worker any more
            code = driver.wait()
            if not is_of_worker:
                has_left = (folder / "left" / "checkpoint.json").exists()
                code = begun(work, folder, place / "photos", resume=has_left).wait()
            is_same = code == 0 and same(place / work / "made", folder / "made")
            if not is_same:
                print(f"kill {number} of {work}: {(folder / 'said').read_text()[-2000:]}", flush=True)
            row = rows.setdefault((work, is_of_worker), row_of(work, worker=is_of_worker))
            most = max(Counter(image for _, image in passes(folder)).values())
            row["kills"] += 1
            row["same bytes"] += is_same
            if not work.startswith("channels"):
                row["an image passed at most"] = max(row["an image passed at most"] or 0, most)
            print(row, flush=True)


def row_of(work: str, *, worker: bool) -> dict[str, Any]:
    who = "a worker" if worker else "the driver"
    return {"work": work, "killed": who, "kills": 0, "same bytes": 0, "an image passed at most": None}


def whole(work: str, place: Path) -> float:
    """Do work in one process, then in workers; return the seconds that workers take from the first image on."""
    if begun(work, place / work, place / "photos", workers="0").wait():
        raise SystemExit((place / work / "said").read_text())
    folder = place / f"{work} in workers"
    driver = begun(work, folder, place / "photos")
    until_it_works(driver, folder)
    start = time.monotonic()
    if driver.wait() or not same(place / work / "made", folder / "made"):
        raise SystemExit(f"{work} must come to the same bytes when nobody kills: {(folder / 'said').read_text()}")
    return time.monotonic() - start


def put_into(page: Path, section: str) -> None:
    """Replace the section of kills in a page of results."""
    before = page.read_text(encoding="utf-8").partition(HEADING)[0].rstrip()
    page.write_text(f"{before}\n\n{section}", encoding="utf-8")


def main() -> None:
    """Kill, and print what came of it."""
    n, rows = int(sys.argv[1]), dict[tuple[str, bool], dict[str, Any]]()
    with suppress(KeyboardInterrupt):
        count(n, rows)
    done = sum(row["kills"] for row in rows.values())
    words = f"Made by `OMP_NUM_THREADS=1 python benchmarks/_worker_kills.py {n} --write` on {machine()}"
    section = f"{HEADING}\n\n{words}: {done} kills.\n\n{markdown(list(rows.values()))}"
    print(section)
    if "--write" in sys.argv:
        put_into(RESULTS, section)


if __name__ == "__main__":
    main()
