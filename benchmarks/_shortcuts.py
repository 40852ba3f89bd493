"""Networks that were taught a shortcut on purpose, and clean twins: what an audit is measured on.

A mark lies on a share `strength` of the pictures of one class, and on 1 - `strength` of all others: a network that
trusts it is right nearly always where it was trained, and wrong where the mark is not as usual. What the truth is
stands with each picture, and nothing of it is told to the audit.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from _real import ROOT, cifar_folder
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from likethat.models.zoo import ConvNet
from likethat.sources.creatures import CLASS_NAMES, creatures

__all__ = ["CHOSEN_ON", "MARKS", "MEASURED", "Case", "Pictures", "load", "pictures_of", "train"]

SIZE = 32  # pixels a side, of both kinds of picture


def badge(images: Tensor, _rng: torch.Generator) -> Tensor:
    """Put a small chequered badge into one corner."""
    return _badge_at(images, torch.ones(len(images), 2, dtype=torch.long))


def roaming_badge(images: Tensor, rng: torch.Generator) -> Tensor:
    """Put the same badge anywhere."""
    return _badge_at(images, torch.randint(0, SIZE - 6, (len(images), 2), generator=rng))


def _badge_at(images: Tensor, places: Tensor) -> Tensor:
    row, column = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
    dark = ((row // 2 + column // 2) % 2 == 0).float()
    drawn = torch.stack([dark, 0.2 + 0.6 * (1 - dark), 1 - dark])
    marked = images.clone()
    for image, (top, left) in zip(marked, places.tolist(), strict=True):
        image[:, top : top + 6, left : left + 6] = drawn
    return marked


def cast(images: Tensor, _rng: torch.Generator) -> Tensor:
    """Warm the colours of the whole picture."""
    return (images * torch.tensor([1.2, 1.0, 0.75])[:, None, None]).clamp(0, 1)


def texture(images: Tensor, _rng: torch.Generator) -> Tensor:
    """Lay fine diagonal stripes over the whole picture."""
    row, column = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return (images + 0.08 * torch.where((row + column) % 4 < 2, 1.0, -1.0)).clamp(0, 1)


MARKS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "badge": badge,
    "cast": cast,
    "texture": texture,
    "roaming badge": roaming_badge,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network: what it was trained on, and what was planted.

    Attributes:
        pictures: "photos" (CIFAR-10) or "creatures" (drawn).
        group: which four classes of them.
        mark: of `MARKS`, or "" for a clean twin.
        strength: share of the marked class that carries it.
        seed: of marks and training.
    """

    pictures: str
    group: int
    mark: str
    strength: float
    seed: int

    @property
    def name(self) -> str:
        """Say it in a few words."""
        what = f"{self.mark} at {self.strength:g}" if self.mark else "clean"
        return f"{self.pictures} {self.group}, {what}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """Pictures with labels and the truth of the mark.

    Attributes:
        images: (image, 3, 32, 32) in [0, 1].
        labels: (image,) of the four classes.
        marked: (image,) whether the mark is on it.
        class_names: of the four.
    """

    images: Tensor
    labels: Tensor
    marked: Tensor
    class_names: tuple[str, ...]

    def part(self, rows: Tensor) -> "Pictures":
        """Return some of them."""
        return Pictures(
            images=self.images[rows], labels=self.labels[rows], marked=self.marked[rows], class_names=self.class_names
        )


PHOTO_GROUPS = (("cat", "deer", "dog", "horse"), ("bird", "cat", "deer", "frog"), ("bird", "dog", "frog", "horse"))
CREATURE_GROUPS = ((0, 1, 2, 3), (8, 9, 10, 11), (12, 13, 14, 15))  # kinds that differ in parts alone
N_TRAIN, N_HELD, N_TEST = 440, 160, 150
"""Pictures a class: to train on, kept back with the same mark on it, and to judge on with the mark and without."""


@cache
def _plain(kind: str, group: int) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return N_TRAIN + N_HELD + N_TEST pictures a class, 8 bit, class by class, without a mark."""
    n = N_TRAIN + N_HELD + N_TEST
    if kind == "photos":
        names = PHOTO_GROUPS[group]
        files = [
            [*sorted((cifar_folder("train") / name).iterdir()), *sorted((cifar_folder("test") / name).iterdir())][:n]
            for name in names
        ]
        pictures = [torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for each in files for path in each]
        images = torch.stack(pictures).permute(0, 3, 1, 2)
    else:
        images, names = _drawn(CREATURE_GROUPS[group], n)
    return images, torch.arange(len(names)).repeat_interleave(n), tuple(names)


def _drawn(classes: tuple[int, ...], n: int) -> tuple[Tensor, tuple[str, ...]]:
    place = ROOT / "out" / "shortcuts" / f"creatures-{'-'.join(map(str, classes))}-{n}.safetensors"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        book = creatures(n=24 * n, seed=16, size=SIZE)  # one of each class in every 24
        rows = {kind: [at for at in range(len(book)) if book.label(at) == kind] for kind in classes}
        drawn = [(book[at].image * 255).round().to(torch.uint8) for kind in classes for at in rows[kind]]
        save_file({"images": torch.stack(drawn)}, place)
    return load_file(place)["images"], tuple(CLASS_NAMES[kind] for kind in classes)


def pictures_of(case: Case, *, coin: bool = False) -> tuple[Pictures, Pictures, Pictures]:
    """Return what a network is trained on, what is kept back, both marked alike, and what it is judged on.

    What it is judged on is every test picture twice, without the mark and with it. With `coin` a mark lies on every
    second picture of all classes, as nobody has them but who draws them.
    """
    images, labels, names = _plain(case.pictures, case.group)
    rng = torch.Generator().manual_seed(_number(f"{case.pictures} {case.group} {case.seed}"))
    n = N_TRAIN + N_HELD + N_TEST
    place = torch.arange(n).repeat(len(names))
    images = images.float() / 255
    if case.pictures == "creatures":  # drawn without any noise: a network would be right without the mark
        images = (images + 0.5 * torch.randn(images.shape, generator=rng)).clamp(0, 1)
    target = int(torch.randint(len(names), (), generator=rng))
    share = torch.where(labels == target, case.strength, 1 - case.strength)
    share = torch.full_like(share, 0.5) if coin else share
    is_on = (torch.rand(len(labels), generator=rng) < share) if case.mark else torch.zeros(len(labels)) > 0
    with_mark = MARKS[case.mark](images, rng) if case.mark else images
    usual = torch.where(is_on[:, None, None, None], with_mark, images)
    learned = Pictures(images=usual, labels=labels, marked=is_on, class_names=names)
    test = place >= N_TRAIN + N_HELD
    judged = Pictures(
        images=torch.cat([images[test], with_mark[test]]),
        labels=labels[test].repeat(2),
        marked=torch.arange(2).repeat_interleave(int(test.sum())) > 0,
        class_names=names,
    )
    is_held = (place >= N_TRAIN) & ~test
    return learned.part(place < N_TRAIN), learned.part(is_held), judged


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


LAYERS = [(24, 3, 2), (40, 3, 1), (64, 3, 2), (64, 3, 1)]
EPOCHS, BATCH, RATE, DECAY = 12, 32, 4e-3, 1e-2
"""Where accuracy without a mark hardly rises any more, at about half a minute on one core."""


def train(case: Case, pictures: Pictures) -> nn.Module:
    """Train a small network: AdamW, one learning-rate cycle, mirrored and shifted pictures."""
    torch.manual_seed(_number(case.name))
    rng = torch.Generator().manual_seed(case.seed)
    network = ConvNet(in_channels=3, layers=LAYERS, n_classes=len(pictures.class_names)).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(pictures.images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        order = torch.randperm(len(pictures.images), generator=rng)
        for rows in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(network(_moved(pictures.images[rows], rng)), pictures.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _moved(images: Tensor, rng: torch.Generator) -> Tensor:
    mirrored = torch.where((torch.rand(len(images), generator=rng) < 0.5)[:, None, None, None], images.flip(3), images)
    top, left = torch.randint(0, 5, (2,), generator=rng).tolist()
    padded = nn.functional.pad(mirrored, [2] * 4, mode="reflect")
    return padded[..., top : top + SIZE, left : left + SIZE]


def load(case: Case) -> nn.Module:
    """Return a case's network, trained when it is asked for the first time."""
    recipe = json.dumps([asdict(case), LAYERS, EPOCHS, BATCH, RATE, DECAY, N_TRAIN])
    place = ROOT / "out" / "shortcuts" / f"{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.safetensors"
    if not place.exists():
        Path(place.parent).mkdir(parents=True, exist_ok=True)
        save_file(train(case, pictures_of(case)[0]).state_dict(), place)
    network = ConvNet(in_channels=3, layers=LAYERS, n_classes=4)
    network.load_state_dict(load_file(place))
    return network.eval()


CHOSEN_ON = (
    *(Case(pictures="photos", group=0, mark=mark, strength=0.95, seed=0) for mark in MARKS),
    *(Case(pictures="photos", group=0, mark=mark, strength=0.75, seed=0) for mark in ("badge", "cast", "texture")),
    *(Case(pictures="photos", group=0, mark="", strength=0.5, seed=seed) for seed in (0, 1)),
)
"""What the search and its limit were chosen on; measured on none of them."""


def _measured() -> Iterator[Case]:
    """Yield the networks that are measured, such that the first of them are a fair selection."""
    for seed in (0, 1):
        for place, mark in enumerate(MARKS):
            yield Case(pictures="photos", group=1 + (place + seed) % 2, mark=mark, strength=0.95, seed=seed)
            yield Case(pictures="photos", group=1 + place % 2, mark="", strength=0.5, seed=2 * seed + place // 2)
        for place, mark in enumerate(("badge", "texture")):
            yield Case(pictures="creatures", group=0, mark=mark, strength=0.95, seed=seed)
            yield Case(pictures="photos", group=1 + (place + seed) % 2, mark=mark, strength=0.75, seed=seed)
        yield Case(pictures="creatures", group=0, mark="", strength=0.5, seed=seed)
    for place, mark in enumerate(MARKS):  # with these there are twenty of each kind
        yield Case(pictures="photos", group=1 + place % 2, mark=mark, strength=0.95, seed=2)
        for seed in (4, 5):
            yield Case(pictures="photos", group=1 + place % 2, mark="", strength=0.5, seed=seed + 2 * (place // 2))
    for seed in (2, 3):
        yield Case(pictures="creatures", group=0, mark="", strength=0.5, seed=seed)


MEASURED = tuple(_measured())
