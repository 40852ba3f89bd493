"""What a second worker saves where the backbone is the work, what the seam costs where there is none.

    OMP_NUM_THREADS=1 python benchmarks/workers.py             # some minutes on two idle cores
    OMP_NUM_THREADS=1 python benchmarks/_worker_kills.py 20    # ten minutes on two idle cores: kills at random

- Speed: a network of ResNet-18's size with random weights passes over photos (over noise where there are none on this
  machine): in one process, and by two workers of Ray on this machine, whose start is not counted (it is printed). The
  bare pass is the same network on the same batches without the library. Each is
  taken in turn, several times; printed are the median, the least and the most, and the processor's seconds of all
  processes together, which other programs on the machine change little: their ratio bounds what two free cores give.
- The seam in one process: `collect` beside the same pass written as a loop, in pairs, by the processor's seconds.
"""

import argparse
import os
import random
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch
from _measure import markdown, write_results
from _real import NoRealMaterial, real_folder
from _worker_kills import HEADING, put_into
from torch import Tensor, nn

import likethat as lt
from likethat._checks import require
from likethat.features import Features, collect
from likethat.features.collect import _Pass
from likethat.features.looking import Forward, chunks, look
from likethat.sources import read

RESULTS = Path(__file__).parent / "results" / "workers.md"
REPEATS = 3
PAIRS = 40


class Block(nn.Module):
    """Two convolutions beside a way round them, as in ResNet-18."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        first = [nn.Conv2d(width, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        self.way = nn.Sequential(*first, nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.round = nn.Identity() if stride == 1 else nn.Conv2d(width, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return both, added."""
        return torch.relu(self.way(x) + self.round(x))


def network(*, large: bool) -> nn.Module:
    """Return a network of torch's own modules, which a worker has without another package."""
    if not large:
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 5, 2), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)).eval()
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    for width, out, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [Block(width, out, stride), Block(out, out, 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)).eval()


def bare(model: lt.SplitModel, views: Tensor) -> None:
    """Run the network alone, in the batches that a pass takes."""
    with torch.inference_mode():
        for part in views.split(32):
            model.network(part)


def same(first: Features, second: Features) -> bool:
    return all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in ("means", "pooled", "maps", "views")
    )


def processor_seconds() -> float:
    """Return what this process, Ray and its workers have taken of the processors so far."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def photos(n: int) -> tuple[Any, str]:
    """Return photos in a tar and what they are; noise where they are not here."""
    try:
        source = lt.Shards(real_folder() / "imagenet.tar")
        return [source[place].image for place in range(min(n, len(source)))], "photos of ImageNet, held in memory"
    except NoRealMaterial as missing:
        print(missing)
        return torch.rand(n, 3, 224, 224), "pictures of noise"


def speed_rows(n: int) -> tuple[str, list[dict[str, Any]]]:
    """Time one process and two workers."""
    ray = require("ray", purpose="This benchmark")
    torch.manual_seed(0)
    images, what = photos(n)
    model = lt.split(network(large=True), preprocess=lt.Preprocess(size=224), example=torch.rand(2, 3, 224, 224))
    views = torch.cat([model.preprocess.view(image[None]) for image in images])
    source = lt.Images(views)
    start = time.perf_counter()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    began = time.perf_counter() - start
    found: dict[str, Features] = {}

    def passed(name: str, workers: int | str) -> Callable[[], None]:
        def work() -> None:
            found[name] = collect(model, source, workers=workers)

        return work

    works = {
        "the network alone": lambda: bare(model, views),
        "one process": passed("one process", 0),
        "two workers": passed("two workers", "ray:2"),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    passed("two workers", "ray:2")()  # workers load torch once
    loads = []
    for _ in range(REPEATS):
        for name, work in works.items():
            loads.append(os.getloadavg()[0])
            start, used = time.perf_counter(), processor_seconds()
            work()
            seconds[name].append((time.perf_counter() - start, processor_seconds() - used))
    ray.shutdown()
    middle = {
        name: tuple(statistics.median(column) for column in zip(*each, strict=True)) for name, each in seconds.items()
    }
    one = middle["one process"]
    rows = [
        {
            "": name,
            "s": f"{middle[name][0]:.1f} ({min(each)[0]:.1f} to {max(each)[0]:.1f})",
            "times as fast": f"{one[0] / middle[name][0]:.2f}",
            "processor s": f"{middle[name][1]:.1f}",
            "times as fast on two free cores, at most": f"{2 * one[1] / middle[name][1]:.2f}"
            if name == "two workers"
            else "-",
            "same to the byte": "-"
            if name not in found
            else "yes"
            if same(found[name], found["one process"])
            else "no",
        }
        for name, each in seconds.items()
    ]
    load = f"load {min(loads):.1f} to {max(loads):.1f}"
    return f"{len(views)} {what}, 224 x 224, ResNet-18's size; {load}; Ray began in {began:.0f} s", rows


def by_hand(model: lt.SplitModel, source: lt.Images) -> Features:
    """Pass over images as a loop, without the seam."""
    work = _Pass(model=model, forward=Forward(model), total=len(source), seed=0, budget=2 * 2**30)
    for chunk in chunks(read(source, view=None, skipped=work.skipped), lambda: work.forward.chunk):
        work.fold(look(work.forward, chunk))
    return work.features(seconds=0.0)


def seam_rows() -> tuple[str, list[dict[str, Any]]]:
    """Compare the pass with the same one as a loop, in pairs whose order alternates."""
    images = torch.rand(96, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    model, source = lt.split(network(large=False), example=images[:2]), lt.Images(images)
    works: dict[str, Callable[[], Features]] = {
        "seam": lambda: collect(model, source),
        "loop": lambda: by_hand(model, source),
    }
    assert same(works["seam"](), works["loop"]())
    ratios = []
    for number in range(PAIRS):
        took = {}
        for name in ("seam", "loop") if number % 2 else ("loop", "seam"):
            start = time.process_time()
            works[name]()
            took[name] = time.process_time() - start
        ratios.append(took["seam"] / took["loop"] - 1)
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(ratios, k=PAIRS)) for _ in range(2000))
    shown = f"{100 * statistics.median(ratios):+.2f} % ({100 * medians[50]:+.2f} to {100 * medians[1949]:+.2f})"
    row = {"": "the seam in one process", "more than the loop (95 %)": shown, "pairs": PAIRS}
    return "96 pictures of 96 x 96, two convolutions; processor's seconds, median of pairs", [row]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--write", action="store_true", help="also to benchmarks/results/workers.md")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sections = [seam_rows(), speed_rows(options.images)]
    for heading, rows in sections:
        print(f"{heading}\n\n{markdown(rows)}")
    if options.write:
        command = f"OMP_NUM_THREADS=1 python benchmarks/workers.py --images {options.images} --write"
        kills = HEADING + RESULTS.read_text(encoding="utf-8").partition(HEADING)[2]
        write_results(RESULTS, title="Workers, measured", command=command, sections=sections)
        put_into(RESULTS, kills)


if __name__ == "__main__":
    main()
