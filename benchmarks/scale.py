"""A fit to 1.28 million images on one machine: memory, seconds, and the sizes of what comes out.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --images 100000         # minutes
    OMP_NUM_THREADS=1 python benchmarks/scale.py --images 1280000 --write # an hour on an idle core, 11 GB of disk

No network passes over a million photos here: pooled vectors and maps are simulated (D = 2048, K = 1000, 7 x 7 cells),
and everything behind the pass is the library's own, as a fit calls it: selection, rotation, choice of prototypes, a
second look at those whose maps were not held, use, bank, page. Vectors lie where a pass lays them (`_vectors.Vectors`).
The pass itself is that of a ResNet-50 measured on `--pass` photos and extrapolated; memory is the whole process's.

A simulated image has four regions, each a rectified mixture of 192 decaying latents round one of its class's four
looks; a table puts rank and spectrum beside those of a published network on photos (EfficientNet-Lite0).
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

import _torchvision  # noqa: F401 - before torchvision
import torch
from _measure import markdown, write_results
from _real import NoRealMaterial, imagenet_folder, imagenet_names, lite0
from torch import Tensor, nn

import likethat as lt
from likethat._vectors import Vectors
from likethat.features import Features, collect
from likethat.features.rows import Keeper
from likethat.sources.base import Sample

RESULTS = Path(__file__).parent / "results" / "scale.md"
D, K, SIDE, REGIONS, LATENTS = 2048, 1000, 7, 4, 192
FULL = 1_280_000  # ImageNet's training images
BUDGET = 2 * 2**30  # bytes for maps: what a fit takes when it is not told
Row = dict[str, Any]


class Body(nn.Module):
    """Makes the map of the image whose number is written in its first pixel."""

    def __init__(self, total: int) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.total = total
        self.looks = torch.randn(K, REGIONS, LATENTS, generator=rng) * 1.2
        decay = torch.arange(1, LATENTS + 1).pow(-0.35)  # the spectrum of photos falls slowly
        basis = torch.randn(LATENTS, D, generator=rng) * decay[:, None]
        self.basis = basis / basis.square().sum(0).mean().sqrt()
        self.threshold = 0.9 + 0.9 * torch.rand(D, generator=rng)  # nine cells of ten are silent, as of photos
        cells = torch.arange(SIDE * SIDE)
        self.region = (cells // SIDE >= SIDE // 2 + 1).long() * 2 + (cells % SIDE >= SIDE // 2 + 1).long()
        ripple = 1 + 0.3 * torch.sin(1.7 * cells)
        means = torch.zeros(REGIONS).index_add(0, self.region, ripple) / self.region.bincount()
        self.ripple = ripple / means[self.region]  # of mean 1 in each region: the pooled vector needs no map

    def classes(self, numbers: Tensor) -> Tensor:
        """Return the class of each image: folders one after the other."""
        return numbers * K // self.total

    def regions(self, numbers: Tensor) -> Tensor:
        """Return (image, region, channel)."""
        noise = torch.stack(
            [torch.randn(REGIONS, LATENTS, generator=torch.Generator().manual_seed(one)) for one in numbers.tolist()]
        )
        latents = self.looks[self.classes(numbers)] + noise
        return self._seen(latents)

    def _seen(self, latents: Tensor) -> Tensor:
        return (latents @ self.basis / 1.56 - self.threshold).clamp_min(0)  # 1.56: the deviation of a latent

    def head(self) -> Tensor:
        """Return (class, channel)."""
        looks = self.pooled(self._seen(self.looks))
        return nn.functional.normalize(looks - looks.mean(0), dim=1)

    def pooled(self, regions: Tensor) -> Tensor:
        """Return (image, channel), the mean over the cells."""
        return torch.einsum("nrd,r->nd", regions, self.region.bincount() / len(self.region))

    def maps(self, regions: Tensor) -> Tensor:
        """Return (image, channel, cell)."""
        return (regions[:, self.region] * self.ripple[:, None]).mT.contiguous()

    def forward(self, images: Tensor) -> Tensor:
        """Return (image, channel, row, column)."""
        digits = images[:, :, 0, 0].mul(255).round().long()
        numbers = (digits * torch.tensor([65536, 256, 1])).sum(1) % self.total
        return self.maps(self.regions(numbers)).reshape(len(images), D, SIDE, SIDE)


class Photos:
    """As many images as wanted: photos over and over, each with its number in the first pixel."""

    def __init__(self, total: int) -> None:
        self.total = total

    @cached_property
    def _photos(self) -> Tensor:
        ready, folder = lt.Preprocess(size=224, resize=256), lt.ImageFolder(imagenet_folder())
        return torch.stack([ready.view(folder[at].image).mul(255).byte() for at in range(200)])

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, number: int) -> Sample:
        return Sample(image=self.view(number).float() / 255, name=f"{number * K // self.total:04d}/{number}.jpg")

    def view(self, number: int) -> Tensor:
        """Return (colour, height, width), 8 bit."""
        view = self._photos[number % len(self._photos)].clone()
        view[:, 0, 0] = torch.tensor([number // 65536, number // 256 % 256, number % 256])
        return view


def simulated(body: Body, source: Photos, budget: int) -> Features:
    """Return what a pass over all images would leave, made in blocks."""
    total, vectors = body.total, Vectors()
    shape, view = (D, SIDE * SIDE), (3, 224, 224)
    keeper = Keeper.for_shapes(shape, view, total=total, seed=0, budget=budget)
    for start in range(0, total, 2048):
        numbers = torch.arange(start, min(start + 2048, total))
        regions = body.regions(numbers)
        vectors.add(body.pooled(regions))
        chosen = [at for at, one in enumerate(numbers.tolist()) if keeper.chosen is None or one in keeper.chosen]
        if chosen:
            views = torch.stack([source.view(int(numbers[at])) for at in chosen])
            keeper.put(numbers[chosen], body.maps(regions[chosen]), views)
    means, indices = vectors.all(), torch.arange(total)
    kept, maps, views = keeper.in_order_of(indices)
    labels = body.classes(indices)
    wrong = torch.rand(total, generator=torch.Generator().manual_seed(1)) < 0.2  # as of a ResNet-50
    predicted = torch.where(wrong, (labels + 1) % K, labels)
    return Features(
        means=means, pooled=means, predicted=predicted, labels=labels, label_names=[None] * total, indices=indices,
        names=[f"{number * K // total:04d}/{number}.jpg" for number in range(total)],
        kept=kept, maps=maps, views=views, grid=(SIDE, SIDE),
        facts=torch.tensor([3.0, 256, 256, 0, 1, 0.5, 0.2, 0, 0]).expand(total, 9),
    )  # fmt: skip


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Follow the resident memory of this process while the work is under way; give its highest value in GB."""
    found, ended = {"GB": 0.0}, threading.Event()

    def follow() -> None:
        while not ended.wait(0.2):
            pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
            found["GB"] = max(found["GB"], pages * 4096 / 1e9)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    yield found
    ended.set()
    thread.join()


def spectrum(name: str, vectors: Tensor) -> Row:
    """Return rank and spectrum of pooled vectors of photos, one a class or nearly."""
    apart = (vectors - vectors.mean(0)).double()
    values = torch.linalg.svdvals(apart).square()
    share = values.cumsum(0) / values.sum()
    return {
        "": name,
        "images": len(vectors),
        "D": vectors.shape[1],
        "effective rank": float(values.sum() ** 2 / values.square().sum()),
        "half the variance in": int((share < 0.5).sum()) + 1,
        "nine tenths in": int((share < 0.9).sum()) + 1,
        "numerical rank": int((values > 1e-10 * values[0]).sum()),
        "mean / deviation": float((vectors.mean(0) / vectors.std(0).clamp_min(1e-6)).median()),
    }


def passed(n: int) -> float:
    """Return the processor's seconds an image of a bare ResNet-50 over photos that are decoded and prepared."""
    import torchvision

    network = torchvision.models.resnet50().eval()
    ready, folder = lt.Preprocess(size=224, resize=256), lt.ImageFolder(imagenet_folder())
    with torch.inference_mode():
        network(torch.rand(8, 3, 224, 224))
        begun = time.process_time()
        for start in range(0, n, 32):
            network(torch.stack([ready.view(folder[at].image) for at in range(start, min(start + 32, n))]))
    return (time.process_time() - begun) / n


def fitted(name: str, fit: Callable[[], lt.Bank], features: Features, an_image: float) -> Row:
    """Fit to simulated features; return seconds, memory and sizes.

    Seconds of fewer images are extrapolated in proportion, which is too much: not all of the work grows with images.
    """
    total = len(features)
    begun = time.process_time()
    with watched() as memory, patch("likethat.fitting.fitting.collect", lambda *_, **__: features):
        bank = fit()
        seconds = time.process_time() - begun
        looked = len({item.index for item in bank.prototypes} - set(features.indices[features.kept].tolist()))
        with tempfile.TemporaryDirectory() as place:
            folder, page = Path(place) / "bank", Path(place) / "bank.html"
            bank.save(folder)
            bank.save(page)
            size = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) / 1e6
            page_size = page.stat().st_size / 1e6
    again = looked * an_image
    whole = seconds * FULL / total + again
    return {
        "": name,
        "images": total,
        "s behind the pass": seconds,
        "looked at again": looked,
        "s of that with a ResNet-50": again,
        f"s at {FULL:,}": whole,
        "of the pass": f"{whole / (FULL * an_image):.2%}",
        "highest memory, GB": memory["GB"],
        "units": bank.n_units,
        "prototypes": len(bank.prototypes),
        "pictures": len(bank.images),
        "bank, MB": size,
        "page, MB": page_size,
        "goal": "under 4 GB, under the pass",
        "met": "yes" if memory["GB"] < 4 and whole < FULL * an_image else "no",
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=FULL)
    parser.add_argument("--pass", type=int, default=200, dest="n_pass", help="photos that the bare pass is measured on")
    parser.add_argument("--memory-budget", type=int, default=BUDGET, help="bytes for maps")
    parser.add_argument("--write", action="store_true", help="also to benchmarks/results/scale.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        real = collect(lt.split(lite0(), lt.Preprocess(size=224)), lt.ImageFolder(imagenet_folder())).pooled
    except NoRealMaterial as reason:
        print(f"Not measured: {reason}.")
        return
    body, source = Body(given.images), Photos(given.images)
    apart = torch.linspace(0, given.images - 1, len(real)).long()
    alike = [spectrum("EfficientNet-Lite0, photos", real), spectrum("simulated", body.pooled(body.regions(apart)))]
    print(markdown(alike), flush=True)
    an_image = passed(given.n_pass)
    with watched() as memory:
        begun = time.process_time()
        features = simulated(body, source, given.memory_budget)
        made = time.process_time() - begun
    print(f"{given.images:,} images simulated in {made:.0f} s, {memory['GB']:.2f} GB", flush=True)
    network = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(D, K)).eval()
    with torch.no_grad():  # each class's row of the head is what its images have more of than others
        network[3].weight.copy_(body.head())
        network[3].bias.zero_()
    example = torch.stack([source[at].image for at in range(2)])
    model = lt.split(network, example=example, class_names=imagenet_names())
    rows = []
    for name, method in (("EPIC", lt.EPIC()), ("parts, 4 a class", lt.PartPrototypes(n_parts=4))):
        rows.append(fitted(name, lambda method=method: method.fit(model, source), features, an_image))
        print(markdown([rows[-1]]), flush=True)
    heading = (
        f"{given.images:,} images, D = {D}, K = {K}; a ResNet-50 takes {an_image:.3f} s an image (measured on "
        f"{given.n_pass}), {FULL * an_image / 3600:.0f} hours for {FULL:,}"
    )
    if given.write:
        command = f"OMP_NUM_THREADS=1 python benchmarks/scale.py --images {given.images} --write"
        sections = [("Simulated features beside real ones", alike), (heading, rows)]
        write_results(RESULTS, title="A million images", command=command, sections=sections)


if __name__ == "__main__":
    main()
