"""EPIC against the reference's way of working: seconds, forwards, memory, and how good the prototypes are.

    python benchmarks/epic.py              the whole table, on two cores about half an hour, most of it the reference
    python benchmarks/epic.py --quick      fewer pictures, a short reference; minutes
    python benchmarks/epic.py --write      also writes benchmarks/results/epic.md

Every row runs in a process of its own, so that peaks of memory are its own, and on one thread: where cores are shared,
threads wait for one another in a busy loop, and CPU seconds then measure the neighbours (here up to five times over).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _data import CACHE, Drawn, drawn
from _measure import machine, measured, print_rows, write_results
from _reference_epic import ReferenceEpic

import likethat as lt
from likethat import papers
from likethat.coordinates import Rotation
from likethat.explanations import Bank, Provenance
from likethat.features import Features, collect
from likethat.fitting.prototypes import gather_prototypes
from likethat.fitting.rotation import AdamSolver, Schedule, fit_procrustes
from likethat.functional import random_rotation
from likethat.metrics import channel_stability, evaluate, held_out_purity
from likethat.models import SplitModel

TRAIN_SEED, HELD_OUT_SEED = 1, 9
KEPT = (
    "\nRows that an earlier run on this machine had finished were kept; a dash in a row of figures may mean that the "
    "earlier run did not measure it. Each row is measured in a process of its own.\n"
)


def bank_of(model: SplitModel, source: Any, features: Features, mixing: Tensor, *, orthogonal: bool = True) -> Bank:
    """Return the bank of a mixing that was found outside `EPIC.fit`."""
    rotation = Rotation(mixing, model.head.weight, orthogonal=orthogonal)
    prototypes, pictures = gather_prototypes(model, source, features, rotation, n=5)
    about = Provenance(
        method="EPIC", options={}, seed=0, fingerprint=model.fingerprint, model=model.name, n_images=len(features)
    )
    usage = torch.zeros(rotation.n_units).numpy()
    return Bank(
        coordinates=rotation, prototypes=prototypes, images=pictures, head=model.head, class_names=model.class_names,
        provenance=about, usage=usage, model=model,
    )  # fmt: skip


def quality(bank: Bank, train: Features, held_out: Drawn, n_explained: int) -> dict[str, Any]:
    """Return how good a bank is, on images it was not fitted on."""
    measures = evaluate(bank, held_out, n_explained=n_explained, n_deleted=100)
    return {
        "purity train": held_out_purity(train, bank.coordinates),
        "held out": measures.purity,
        "coverage of 4": measures.coverage,
        "consistency": measures.part_consistency,
        "modal share": measures.modal_share,
        "surroundings": measures.surroundings,
        "box match": measures.box_match,
        "pip-net": measures.pip_net_purity,
        "huang c / s": f"{measures.huang_consistency:.2f} / {measures.huang_stability:.2f}",
        "del. rank": f"{measures.deletion_agreement:.2f} / {measures.blur_agreement:.2f}",
        "single del.": measures.single_deletion,
        "gap": f"{measures.gap:.0e}",
    }


def half(features: Features, first: int) -> Features:
    """Return every second image's features."""
    rows = torch.arange(first, len(features), 2)
    return Features(
        means=features.means[rows], pooled=features.pooled[rows], predicted=features.predicted[rows],
        labels=features.labels[rows], indices=features.indices[rows], names=[features.names[i] for i in rows.tolist()],
        kept=torch.arange(len(rows)), maps=features.maps[rows], views=features.views[rows], grid=features.grid,
    )  # fmt: skip


def turned(features: Features, rotation: Tensor) -> Features:
    """Return features in turned channels: a solver that starts at the identity starts there from `rotation`."""
    means = features.means @ rotation.T
    return Features(
        means=means, pooled=means, predicted=features.predicted, labels=features.labels, indices=features.indices,
        names=features.names, kept=features.kept, maps=torch.matmul(rotation, features.maps), views=features.views,
        grid=features.grid,
    )  # fmt: skip


def stability(epic: lt.EPIC | papers.EPIC, model: SplitModel, features: Features) -> dict[str, float]:
    """Return the share of channels that two halves of the images, and two random starts, agree on."""

    def solve(part: Features, rotation: Tensor | None = None) -> Tensor:
        slots, head = torch.arange(len(part.kept)), model.head.weight.cpu()
        if rotation is None:
            return epic._solve(part, slots, head, shrinkage=0.0)
        return epic._solve(turned(part, rotation), slots, head @ rotation.T, shrinkage=0.0) @ rotation

    starts = [random_rotation(model.n_channels, rng=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    return {
        "stable halves": channel_stability(solve(half(features, 0)), solve(half(features, 1))).matched,
        "stable starts": channel_stability(*(solve(features, start) for start in starts)).matched,
    }


@dataclass
class Count:
    """Images that went through a model."""

    images: int = 0


@contextmanager
def counted(model: SplitModel) -> Iterator[Count]:
    """Count the images that go through a model's network, padding included."""
    count = Count()

    def see(_module: Any, inputs: Any) -> None:
        count.images += len(inputs[0])

    handle = model.network.register_forward_pre_hook(see)
    try:
        yield count
    finally:
        handle.remove()


OURS: dict[str, dict[str, Any]] = {
    "ours: Procrustes": {},
    "ours: purity alone": {"usage_weight": 0.0},
    "ours: usage weight .5": {"usage_weight": 0.5},
    "ours: whitened to 10": {"mixing": "whitened"},
    "ours: a tenth of the maps": {"memory_budget": 0.1},
    "ours: Adam on cached maps": {},
}


def row_of(name: str, n_train: int, n_held_out: int, epochs: int) -> dict[str, Any]:
    """Measure one row."""
    train, held_out = drawn(n_train, seed=TRAIN_SEED), drawn(n_held_out, seed=HELD_OUT_SEED)
    model, images = lt.load("zoo:creatures"), train.images()
    source = lt.Images(images)
    if name in OURS:
        options = dict(OURS[name])
        share = options.pop("memory_budget", None)
        budget = int(share * n_train * bytes_each(model, images)) if share else 2 * 2**30
        epic = papers.EPIC() if "Adam" in name else lt.EPIC(**options)
        with counted(model) as count:
            bank, cost = measured(lambda: epic.fit(model, source, memory_budget=budget))
        cost["forwards"] = count.images
        features = collect(model, source)
        cost |= {"stable halves": None, "stable starts": None} if share else stability(epic, model, features)
    else:
        features = collect(model, source)
        bank, cost = _outside(name, model, features, images, epochs=epochs)
    return {"what": name, **cost, **quality(bank, features, held_out, min(300, n_held_out))}


def bytes_each(model: SplitModel, images: Tensor) -> int:
    """Return what a held map and its 8-bit view take."""
    return 4 * model.n_channels * model.grid[0] * model.grid[1] + images[0].numel()


def _outside(
    name: str, model: SplitModel, features: Features, images: Tensor, *, epochs: int
) -> tuple[Bank, dict[str, Any]]:
    if name == "the network's own channels":
        mixing, cost = torch.eye(model.n_channels), {"cpu_s": 0.0, "wall_s": 0.0, "peak_mib": 0.0, "forwards": 0}
    elif name == "a random rotation":
        mixing = random_rotation(model.n_channels, rng=torch.Generator().manual_seed(0))
        cost = {"cpu_s": 0.0, "wall_s": 0.0, "peak_mib": 0.0, "forwards": 0}
    else:
        reference = ReferenceEpic(backbone=model.features, epochs=epochs)
        mixing, cost = measured(lambda: reference.fit(images, model.n_channels))
        cost |= {"forwards": reference.forwards}
    return bank_of(model, lt.Images(images), features, mixing), cost | {"stable halves": None, "stable starts": None}


def pass_row(n_train: int, repeats: int = 3) -> list[dict[str, Any]]:
    """Time the bare backbone pass and the whole fit in turn, over the same tensor."""
    images = drawn(n_train, seed=TRAIN_SEED).images()
    model, rows = lt.load("zoo:creatures"), []

    @torch.no_grad()
    def bare() -> None:
        for part in images.split(32):
            model.network(part)

    bare()
    for turn in range(repeats):
        _, alone = measured(bare)
        bank, whole = measured(lambda: lt.EPIC().fit(model, images))
        inside = bank.provenance.measures["backbone_seconds"]
        rows.append(
            {
                "what": f"turn {turn + 1}",
                "bare pass, wall s": alone["wall_s"],
                "whole fit, wall s": whole["wall_s"],
                "ratio, wall": whole["wall_s"] / alone["wall_s"],
                "bare pass, CPU s": alone["cpu_s"],
                "whole fit, CPU s": whole["cpu_s"],
                "ratio, CPU": whole["cpu_s"] / alone["cpu_s"],
                "share inside the network": inside / whole["wall_s"],
            }
        )
    return rows


def resnet_row(n: int) -> list[dict[str, Any]]:
    """Time a random-weight resnet18: our fit measured, the reference extrapolated from its own seconds a piece."""
    from torch import nn

    network = _resnet18(nn)
    images = drawn(max(n, 400), seed=TRAIN_SEED).images()[:n]
    model = lt.split(network, example=images[:4])
    bank, ours = measured(lambda: lt.EPIC().fit(model, images))
    reference = ReferenceEpic(backbone=model.features, epochs=2, first=2, last=2)
    _, piece = measured(lambda: reference.fit(images, model.n_channels))
    counts = [round(100 + (5 - 100) * stage / 9) for stage in range(10)]
    forwards = 10 * n + sum(2 * min(count, n) * model.n_channels for count in counts)
    cpu = piece["cpu_s"] / reference.forwards * forwards
    return [
        {"what": "ours: Procrustes", **ours, "forwards": n, "purity": bank.purity},
        {
            "what": f"the reference's way, from {reference.forwards:,} of its forwards",
            "cpu_s": cpu, "wall_s": cpu * piece["wall_s"] / piece["cpu_s"], "peak_mib": piece["peak_mib"],
            "forwards": forwards, "purity": None,
        },
    ]  # fmt: skip


def _resnet18(nn: Any) -> Any:
    """Return a resnet18 with random weights, without torchvision (whose wheel may not fit the torch at hand)."""

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.first = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
            )
            self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
            fits = before == after and stride == 1
            self.short = (
                nn.Identity()
                if fits
                else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            )

        def forward(self, values: Tensor) -> Tensor:
            return torch.relu(self.second(self.first(values)) + self.short(values))

    torch.manual_seed(0)
    blocks = [
        Block(b, a, s)
        for b, a, s in (
            (64, 64, 1),
            (64, 64, 1),
            (64, 128, 2),
            (128, 128, 1),
            (128, 256, 2),
            (256, 256, 1),
            (256, 512, 2),
            (512, 512, 1),
        )
    ]
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)).eval()


def wide_row(n_channels: int = 2048, n_images: int = 1000, cells: int = 49) -> list[dict[str, Any]]:
    """Time the solver on planted concepts in 2,048 channels: seconds, memory, and how many concepts it finds."""
    rng = torch.Generator().manual_seed(0)
    concepts = random_rotation(n_channels, rng=rng)
    maps = 0.02 * torch.randn(n_images, n_channels, cells, generator=rng)
    for image in range(n_images):
        for place in range(12):
            concept = int(torch.randint(n_channels, (1,), generator=rng))
            maps[image, :, (place * 4) % cells] += (1 + torch.rand(1, generator=rng)) * concepts[concept]
    means, zeros = maps.mean(2), torch.zeros(n_images, dtype=torch.long)
    features = Features(
        means=means, pooled=means, predicted=zeros, labels=zeros, indices=torch.arange(n_images), names=[""] * n_images,
        kept=torch.arange(n_images), maps=maps, views=torch.zeros(n_images, 1, 1, 1, dtype=torch.uint8), grid=(7, 7),
    )  # fmt: skip
    mixing, cost = measured(lambda: fit_procrustes(features, Schedule(first=10, last=4, rounds=8)))
    found = float(((mixing @ concepts.T).abs().max(0).values > 0.9).float().mean())
    started = time.perf_counter()
    solver = AdamSolver(orthogonal=True, epochs=1, learning_rate=1e-3, weight_decay=1e-5, batch=2048, seed=0)
    solver.fit(features, Schedule(first=1, last=1, rounds=1))
    step = time.perf_counter() - started
    return [
        {
            "what": f"Procrustes, D = {n_channels:,}, 8 rounds",
            **cost,
            "planted concepts found": found,
            "one Adam step, wall s": step,
        }
    ]


def run_row(name: str, args: argparse.Namespace) -> Any:
    """Run one row in a fresh process, or read it where an earlier run that was stopped has left it."""
    kept = CACHE / f"epic-{'quick' if args.quick else 'full'}-{''.join(filter(str.isalnum, name))}.json"
    if args.resume and kept.exists():
        return json.loads(kept.read_text())
    command = [sys.executable, __file__, "--row", name, "--threads", str(args.threads)]
    command += ["--quick"] if args.quick else []
    threads = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | threads)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    kept.write_text(done.stdout.splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Run all rows, print them, and write them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--resume", action="store_true", help="keep the rows that an earlier run has finished")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    n_train, n_held_out, epochs = (600, 200, 2) if args.quick else (4000, 600, 20)
    special: dict[str, Callable[[], Any]] = {
        "pass": lambda: pass_row(n_train),
        "resnet18": lambda: resnet_row(100 if args.quick else 400),
        "wide": lambda: wide_row(512 if args.quick else 2048),
    }
    if args.row:
        row = special[args.row]() if args.row in special else row_of(args.row, n_train, n_held_out, epochs)
        print(json.dumps(row))
        return
    drawn(n_train, seed=TRAIN_SEED)
    drawn(n_held_out, seed=HELD_OUT_SEED)
    reference = "the reference's way" + ("" if epochs == 20 else f" ({epochs} of 20 epochs)")
    names = ["the network's own channels", "a random rotation", reference, *OURS]
    rows = []
    for name in names:
        rows.append(run_row(name, args))
        print_rows(rows, title=f"EPIC on {n_train:,} creatures, measured on {n_held_out:,} others")
    passes, resnet, wide = (run_row(name, args) for name in special)
    slow, ours = rows[2], rows[3]
    verdict = (
        f"{slow['cpu_s'] / ours['cpu_s']:.0f} times fewer CPU seconds and "
        f"{slow['forwards'] / ours['forwards']:.0f} times fewer forwards than the reference's way, at a held-out "
        f"purity of {ours['held out']:.3f} against {slow['held out']:.3f}.\n"
    )
    print_rows(passes, title="the whole fit against the bare pass")
    print_rows(resnet, title="a random resnet18")
    print_rows(wide, title="2,048 channels")
    print(verdict, machine(), sep="")
    if args.write:
        write_results(
            Path(__file__).parent / "results" / "epic.md",
            title="EPIC",
            command=f"python benchmarks/epic.py --write{' --resume' if args.resume else ''}",
            sections=[
                (f"{n_train:,} creatures, measured on {n_held_out:,} others", rows),
                ("In one sentence", verdict + (KEPT if args.resume else "")),
                ("The whole fit against the bare backbone pass", passes),
                ("A resnet18 with random weights", resnet),
                ("Many channels", wide),
            ],
        )


if __name__ == "__main__":
    main()
