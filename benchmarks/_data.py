"""Pictures drawn once and kept beside the benchmarks: bytes, labels and true parts."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from likethat.metrics import PartTruth
from likethat.sources import Sample, creatures
from likethat.sources.creatures import CLASS_NAMES

CACHE = Path(__file__).parent / ".cache"


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnSample(Sample):
    """A picture with its parts, as `likethat.creatures` gives them."""

    masks: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Drawn creatures held as bytes, with a map of their parts."""

    pictures: Tensor
    labels: Tensor
    part_maps: Tensor
    parts: tuple[str, ...]
    seed: int
    class_names: tuple[str, ...] = CLASS_NAMES

    @property
    def size(self) -> int:
        """Pixels a side."""
        return int(self.pictures.shape[-1])

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> DrawnSample:
        part_map = self.part_maps[index].numpy()
        masks = {name: part_map == place + 1 for place, name in enumerate(self.parts)}
        image = self.pictures[index].float() / 255
        return DrawnSample(image=image, name=f"creature {index}", label=int(self.labels[index]), masks=masks)

    def without(self, index: int, part: str) -> Sample:
        """Draw a picture again without a part."""
        return creatures(len(self), seed=self.seed).without(index, part)

    def images(self) -> Tensor:
        """All pictures, float32 in [0, 1]."""
        return self.pictures.float() / 255


PARTS = ("body", "head", "eye", "mouth", "crown", "wing", "tail", "legs")


def _draw(job: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    n, seed, start, stop = job
    torch.set_num_threads(1)
    source = creatures(n, seed=seed)
    truth = PartTruth(source)
    assert truth.names == PARTS
    samples = [source[index] for index in range(start, stop)]
    pictures = torch.stack([(sample.image * 255).round().to(torch.uint8) for sample in samples])
    labels = torch.tensor([sample.label for sample in samples])
    return pictures, labels, torch.from_numpy(np.stack([truth.part_map(index) for index in range(start, stop)]))


def drawn(n: int, *, seed: int) -> Drawn:
    """Return `n` creatures of a seed, drawn in all processes the first time and read from disk afterwards."""
    path = CACHE / f"creatures-{n}-{seed}.safetensors"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        jobs = [(n, seed, start, min(start + 100, n)) for start in range(0, n, 100)]
        with multiprocessing.get_context("spawn").Pool() as pool:
            parts = list(track(pool.imap(_draw, jobs), total=len(jobs), description=f"drawing {n:,} creatures"))
        names = ("pictures", "labels", "part_maps")
        save_file(
            {name: torch.cat(list(column)) for name, column in zip(names, zip(*parts, strict=True), strict=True)}, path
        )
    return Drawn(**load_file(path), parts=PARTS, seed=seed)
