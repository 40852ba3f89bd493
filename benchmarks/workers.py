"""What a second worker saves where the backbone is the work, and what the seam costs where there is none.

    OMP_NUM_THREADS=1 python benchmarks/workers.py             # some minutes on two idle cores
    OMP_NUM_THREADS=1 python benchmarks/workers.py --images 200 --write

Five convolutions with random weights pass over pictures of 224 x 224: in one process, and by two workers of Ray on
this machine, whose start is not counted (it is printed). The bare pass is the same network on the same batches without
the library. Each is taken in turn, several times; what is printed is the median with the least and the most.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _measure import markdown, write_results
from torch import Tensor, nn

import likethat as lt
from likethat._checks import require
from likethat.features import Features, collect

RESULTS = Path(__file__).parent / "results" / "workers.md"
REPEATS = 3


def network() -> nn.Module:
    """Return convolutions of torch's own, which a worker has without another package."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 4, 3), nn.ReLU()]
    for width in (64, 64, 64, 64):
        layers += [nn.Conv2d(64, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()


def bare(model: lt.SplitModel, images: Tensor) -> None:
    """Run the network alone, in the batches that a pass takes."""
    with torch.inference_mode():
        for part in images.split(32):
            model.network(part)


def same(first: Features, second: Features) -> bool:
    return all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in ("means", "pooled", "maps", "views")
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--write", action="store_true", help="also to benchmarks/results/workers.md")
    options = parser.parse_args()
    ray = require("ray", purpose="This benchmark")
    torch.manual_seed(0)
    images = torch.rand(options.images, 3, 224, 224)
    model = lt.split(network(), example=images[:2])
    start = time.perf_counter()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    began = time.perf_counter() - start
    found: dict[str, Features] = {}

    def passed(name: str, workers: int | str) -> Callable[[], None]:
        def work() -> None:
            found[name] = collect(model, lt.Images(images), workers=workers)

        return work

    works = {
        "the network alone": lambda: bare(model, images),
        "one process": passed("one process", 0),
        "two workers": passed("two workers", "ray:2"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    passed("two workers", "ray:2")()  # workers load torch once
    for _ in range(REPEATS):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    least = statistics.median(seconds["one process"])
    rows = [
        {
            "": name,
            "s": f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})",
            "times as fast": f"{least / statistics.median(each):.2f}",
            "same to the byte": "-"
            if name not in found
            else "yes"
            if same(found[name], found["one process"])
            else "no",
        }
        for name, each in seconds.items()
    ]
    heading = f"{options.images} pictures of 224 x 224, five convolutions; Ray began in {began:.0f} s"
    print(f"{heading}\n\n{markdown(rows)}")
    if options.write:
        command = f"OMP_NUM_THREADS=1 python benchmarks/workers.py --images {options.images} --write"
        write_results(RESULTS, title="Workers, measured", command=command, sections=[(heading, rows)])


if __name__ == "__main__":
    main()
