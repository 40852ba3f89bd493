"""What the library adds to the network's own work: import, help, a fit, an explanation, a page.

    OMP_NUM_THREADS=1 python benchmarks/cost.py               # half an hour on an idle core; goes on where it was
    OMP_NUM_THREADS=1 python benchmarks/cost.py explain page  # some of it
    OMP_NUM_THREADS=1 python benchmarks/cost.py --quick       # a few of everything; nothing is written

Each row stands beside the bare work: Python alone, the network alone on the same prepared batches, photos alone in a
page. The two are taken in turn; what is compared are the pairs. Seconds are the processor's, one thread of ours, all
processes of the browser: on shared cores the clock tells how busy the neighbours are (`clock, s` where a person waits;
`load` is that of the machine at the time). Figures are medians with the 95 % interval of the median (bootstrap over
pairs; with five pairs or fewer the least and the most).

The ResNet-50 has random weights: D = 2048 and K = 1000 are what costs. Photos are those of `../shared/real`.
"""

import cProfile
import os
import pstats
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import _torchvision  # noqa: F401 - before torchvision
import numpy as np
import torch
from _real import NoRealMaterial, imagenet_folder, imagenet_names, lite0
from _rows import Row, Rows, run
from torch import Tensor, nn

import likethat as lt
from likethat.report import save_gallery
from likethat.sources import read
from likethat.sources.base import Sample

ROOT = Path(__file__).parent.parent
STORE, RESULTS = ROOT / "out" / "cost.json", Path(__file__).parent / "results" / "cost.md"
NORMAL = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # ImageNet's
SHARED = """
Goals are judged by the processor's seconds: two cores were shared with other work (the load stands beside what the
clock showed).
"""
FEW = """
What a fit adds to its pass hardly grows with the photos: four factors of 2,048 x 2,048 where the network's own
channels are kept, up to twenty where a rotation is found.
"""
Pair = tuple[float, float]  # ours, bare


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median: by bootstrap, or the least and the most of five or fewer."""
    if len(values) <= 5:
        return min(values), max(values)
    draws = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), (2.5, 97.5))
    return float(low), float(high)


def figure(values: Sequence[float], digits: int = 3) -> str:
    """Return a median with its interval."""
    low, high = interval(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def compared(pairs: Sequence[Pair], goal: str, meets: bool) -> Row:
    """Return what the pairs say."""
    return {
        "ours, s": figure([ours for ours, _ in pairs]),
        "bare, s": figure([bare for _, bare in pairs]),
        "ours / bare": figure([ours / bare for ours, bare in pairs]),
        "pairs": len(pairs),
        "goal": goal,
        "met": "yes" if meets else "no",
    }


def in_turn(ours: Callable[[int], Any], bare: Callable[[int], Any], n: int, clock: Callable[[], float]) -> list[Pair]:
    """Time both n times, one after the other, which comes first in turn."""

    def timed(work: Callable[[int], Any], place: int) -> float:
        start = clock()
        work(place)
        return clock() - start

    pairs = []
    for place in range(n):
        if place % 2:
            other = timed(bare, place)
            pairs.append((timed(ours, place), other))
        else:
            pairs.append((timed(ours, place), timed(bare, place)))
    return pairs


# Import and help


def start(rows: Rows) -> None:
    """Time a Python that imports the library, and one that prints the command's help, beside a Python that does not.

    Byte code lies where it lies after an installation.
    """
    n = 5 if rows.quick else 25
    with tempfile.TemporaryDirectory() as folder:
        known = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONPATH": str(ROOT / "src")}
        known.pop("PYTHONDONTWRITEBYTECODE", None)

        def python(*words: str) -> None:
            subprocess.run([sys.executable, *words], env=known, stdout=subprocess.DEVNULL, check=True)

        def measure(goal: float, *words: str) -> Row:
            python(*words)  # which leaves the byte code
            waited = []

            def ours(_: int) -> None:
                begun = time.perf_counter()
                python(*words)
                waited.append(time.perf_counter() - begun)

            pairs = in_turn(ours, lambda _: python("-c", "pass"), n, _of_children)
            return compared(pairs, f"under {goal} s", statistics.median(one for one, _ in pairs) < goal) | clock(waited)

        rows.add("start", "import likethat", lambda: measure(0.3, "-c", "import likethat"))
        rows.add("start", "likethat --help", lambda: measure(0.5, "-m", "likethat", "--help"))
        packages = "import typer, typer.rich_utils, rich.console, msgspec"
        rows.add("start", "of help, its packages", lambda: measure(0.5, "-c", packages) | {"goal": "", "met": ""})


def clock(seconds: Sequence[float]) -> Row:
    """Return what a person waits, and how busy the machine is."""
    return {"clock, s": figure(seconds), "load": f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"}


def _of_children() -> float:
    """Return the processor's seconds of all processes that were started here and have ended."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


# A fit and an explanation, of a ResNet-50


@cache
def model() -> lt.SplitModel:
    """Return a ResNet-50 with random weights, whose norms and head are not those of a new network."""
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.resnet50()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            module.momentum = None  # the mean over all that is seen
    network.train()
    with torch.no_grad():  # so that maps neither grow nor vanish from block to block
        for part in _preparing().normalise(_views(64)).split(32):
            network(part)
    return lt.split(network.eval(), _preparing(), example=_views(2))


def _preparing() -> lt.Preprocess:
    return lt.Preprocess(size=224, resize=256, **NORMAL)


class First:
    """The first photos of the folder, a source."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, place: int) -> Sample:
        return _folder()[place]


@cache
def _folder() -> lt.ImageFolder:
    return lt.ImageFolder(imagenet_folder())


def _views(n: int) -> Tensor:
    return torch.stack([_preparing().view(_folder()[at].image) for at in range(n)])


def bare_pass(source: First) -> None:
    """Run the network alone over a folder: decoded, prepared and batched as a pass has them."""
    of = model()
    with torch.inference_mode():
        for batch in read(source, view=of.preprocess.view, batch_size=32):
            of.network(of.preprocess.normalise(batch.images))


def fit(rows: Rows) -> None:
    """Fit EPIC to photos beside the bare pass over them."""
    for n in (64,) if rows.quick else (250, 500):
        source = First(n)

        def measure(source: First = source, n: int = n) -> Row:
            bare_pass(First(32))  # what is loaded once
            fits: list[lt.Bank] = []
            pairs = in_turn(
                lambda _: fits.append(lt.EPIC().fit(model(), source)),
                lambda _: bare_pass(source),
                1 if rows.quick else 2,
                time.process_time,
            )
            extra = [ours - bare for ours, bare in pairs]
            share = statistics.median(ours / bare for ours, bare in pairs) - 1
            per_image = statistics.median(bare for _, bare in pairs) / n
            row = compared(pairs, "at most 1.1", share <= 0.1)
            enough = 10 * statistics.median(extra) / per_image
            return row | {
                "fit less pass, s": figure(extra, 1),
                "bare pass, s an image": per_image,
                "at most 1.1 from photos": f"{enough:,.0f}, if the difference stays",
            }

        rows.add("fit", f"EPIC, {n} photos, D = 2048", measure)


def tokens(rows: Rows) -> None:
    """Follow class tokens beside the networks alone: the pass of a fit over a batch, and EPIC's fit."""
    import timm

    torch.manual_seed(0)
    large = timm.create_model("vit_small_patch16_224", num_classes=24).eval()
    networks: dict[str, tuple[Callable[[], lt.SplitModel], int]] = {
        "zoo:creatures-vit, 64 x 64": (lambda: lt.load("zoo:creatures-vit"), 64),
        "timm's ViT-S/16 with random weights, 224 x 224": (lambda: lt.split(large, preprocess=None), 224),
    }
    for name, (load, size) in networks.items():

        def measure(n: int, load: Callable[[], lt.SplitModel] = load, size: int = size) -> Row:
            of, images = load(), torch.rand(n, 3, size, size)

            def bare(_: int) -> None:
                with torch.inference_mode():
                    for batch in images.split(32):
                        of.network(batch)

            def ours(_: int) -> None:
                if n > 32:
                    lt.EPIC().fit(of, images)
                    return
                with torch.no_grad():
                    of.forward(images)

            ours(0), bare(0)
            pairs = in_turn(ours, bare, 3 if rows.quick or n > 32 else 12, time.process_time)
            ratio = statistics.median(one / other for one, other in pairs)
            return compared(pairs, "at most 2.5", ratio <= 2.5) | {"by products": f"{of._reader.forwards:.2f}"}  # type: ignore[attr-defined]

        rows.add("tokens", f"a batch of 32, {name}", lambda measure=measure: measure(32))
        rows.add("tokens", f"EPIC's fit of 256, {name}", lambda measure=measure: measure(256))


def explain(rows: Rows) -> None:
    """Explain photos beside the forward pass of each."""
    bank = _bank()
    images = [_folder()[100 + at].image for at in range(8 if rows.quick else 40)]  # which the bank has not seen
    of = model()

    def bare(place: int) -> Tensor:
        with torch.inference_mode():
            return of.network(of.preprocess.normalise(of.preprocess.view(images[place])[None]))

    def measure(ours: Callable[[int], Any]) -> Row:
        ours(0), bare(0)
        pairs = in_turn(ours, bare, len(images), time.process_time)
        return compared(pairs, "at most 1.1", statistics.median(one / other for one, other in pairs) <= 1.1)

    rows.add("explain", "one photo, four rows", lambda: measure(lambda at: bank.explain(images[at])))
    rows.add("explain", "against another class", lambda: measure(lambda at: bank.contrast(images[at], 1, 2)))


@cache
def _bank_of(n: int) -> lt.Bank:
    return lt.EPIC().fit(model(), First(n))


def _bank() -> lt.Bank:
    return _bank_of(64)


# A page of explanations


def page(rows: Rows) -> None:
    """Open a page of 100 explanations of photos, and one of the photos alone, in a browser without a window."""
    n = 10 if rows.quick else 100
    of = lt.split(lite0(), lt.Preprocess(size=224, mean=(0.5,) * 3, std=(0.5,) * 3), class_names=imagenet_names())

    def measure() -> Row:
        bank = lt.EPIC().fit(of, First(200))
        begun = time.process_time()
        explanations = [bank.explain(_folder()[at]) for at in range(n)]
        explained = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            whole = save_gallery(explanations, Path(folder) / "page.html")
            written = time.process_time()
            alone = Path(folder) / "alone.html"
            pictures = [one.as_uri() for one in sorted(imagenet_folder().iterdir())[:n]]
            alone.write_text("<!doctype html>" + "".join(f'<img src="{one}">' for one in pictures))
            with _browser() as open_page:
                pages = [(open_page(whole), open_page(alone)) for _ in range(3 if rows.quick else 15)]
            size = whole.stat().st_size / 1e6
        pairs = [(ours.processor, bare.processor) for ours, bare in pages]
        median = statistics.median(ours for ours, _ in pairs)
        return compared(pairs, "under 2 s, under 20 MB", median < 2 and size < 20) | {
            "MB": size,
            **clock([ours.clock for ours, _ in pages]),
            "photos alone, clock, s": figure([bare.clock for _, bare in pages]),
            "explaining, s": explained - begun,
            "writing, s": written - explained,
        }

    rows.add("page", f"{n} explanations, EfficientNet-Lite0 with its published weights, fitted to 200 photos", measure)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Seconds until a page is drawn, its pictures decoded."""

    clock: float
    processor: float  # of all processes of the browser


@contextmanager
def _browser() -> Iterator[Callable[[Path], Opened]]:
    """Open Chromium without a window; give what opens a page in a new tab."""
    import psutil
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        raise NoRealMaterial("no Chromium here to open pages with")

    def spent() -> float:
        times = (process.cpu_times() for process in psutil.Process().children(recursive=True))
        return sum(each.user + each.system for each in times)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])

        def opened(path: Path) -> Opened:
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            before, begun = spent(), time.perf_counter()
            tab.goto(path.as_uri(), wait_until="load")
            tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            seconds = Opened(clock=time.perf_counter() - begun, processor=spent() - before)
            tab.close()
            return seconds

        yield opened
        browser.close()


# Where the rest goes


def profile(rows: Rows) -> None:
    """Print the functions with the most seconds of their own, in a fit and in an explanation."""
    bank, image = _bank(), _folder()[100].image
    source = First(64)
    works = {
        "fit to 64 photos": lambda: lt.EPIC().fit(model(), source),
        "20 explanations": lambda: [bank.explain(image) for _ in range(20)],
    }
    for name, work in works.items():
        stats = None
        for place in range(10):

            def one(work: Callable[[], Any] = work, name: str = name, place: int = place) -> Row:
                nonlocal stats
                stats = stats or _own_seconds(work)
                return {"": name, **stats[place]}

            rows.add("profile", f"{name} {place + 1}", one)


def _own_seconds(work: Callable[[], Any]) -> list[Row]:
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(work)
    found: dict[Any, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    whole = sum(own for _, _, own, _, _ in found.values())
    top = sorted(found.items(), key=lambda item: -item[1][2])[:10]
    return [
        {"function": _called(place), "calls": calls, "own s": own, "share": f"{own / whole:.1%}", "s": ""}
        for place, (_, calls, own, _, _) in top
    ]


def _called(place: tuple[str, int, str]) -> str:
    file, line, name = place
    if file == "~":
        return name.strip("<>").replace("built-in method ", "")
    where = Path(file)
    return f"{where.parent.name}/{where.name}:{line} {name}"


def main() -> None:
    """Measure what was asked for."""
    try:
        run(
            {"start": start, "fit": fit, "tokens": tokens, "explain": explain, "page": page, "profile": profile},
            store=STORE,
            results=RESULTS,
            title="The library's own cost",
            headings={
                "start": "Import and help, beside a bare Python",
                "fit": "A fit beside the bare pass",
                "tokens": "Class tokens followed beside the network alone",
                "explain": "An explanation beside a bare forward",
                "page": "A page beside the photos alone",
                "profile": "Where the seconds go: functions by their own time",
            },
            notes={"start": SHARED, "fit": FEW},
            description=__doc__,
        )
    except NoRealMaterial as reason:
        print(f"Not measured: {reason}.")


if __name__ == "__main__":
    main()
