"""What an audit finds beside shortcuts, planted in photos that nothing was chosen on, and clean twins."""

import io
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch
from _real import CIFAR_CLASSES, CIFAR_MEAN, CIFAR_STD, NoRealMaterial, cifar_folder, resnet20
from _rows import Row, Rows
from PIL import Image

import likethat as lt

Picture = np.ndarray  # (height, width, 3), 8 bit

N_COPIES = 40  # planted among 360 others, which are half of the photos


def _compressed(picture: Picture) -> Picture:
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "JPEG", quality=40)
    return np.array(Image.open(held))


def _resized(picture: Picture, box: tuple[int, int, int, int], size: int = 32) -> Picture:
    return np.array(Image.fromarray(picture).crop(box).resize((size, size)).resize((32, 32)))


EDITS: dict[str, Callable[[Picture], Picture]] = {
    "compressed": _compressed,
    "lighter": lambda picture: np.clip(picture * 1.3 + 8, 0, 255).astype(np.uint8),
    "mirrored": lambda picture: picture[:, ::-1].copy(),
    "half the size": lambda picture: _resized(picture, (0, 0, 32, 32), 16),
    "grey": lambda picture: np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, 2),
    "a pixel off each side": lambda picture: _resized(picture, (1, 1, 31, 31)),
    "moved by two pixels": lambda picture: np.roll(picture, 2, axis=1),
}


@cache
def photos() -> tuple[list[Picture], list[int]]:
    """Return the test photos, class by class, and their labels."""
    files = [(path, label) for label, name in enumerate(CIFAR_CLASSES) for path in (cifar_folder() / name).iterdir()]
    files.sort(key=lambda each: each[0].name)
    return [np.array(Image.open(path).convert("RGB")) for path, _ in files], [label for _, label in files]


@cache
def model() -> lt.SplitModel:
    """Return the published ResNet-20, split."""
    preprocess = lt.Preprocess(mean=CIFAR_MEAN, std=CIFAR_STD)
    return lt.split(resnet20(), preprocess=preprocess, class_names=CIFAR_CLASSES, example=torch.rand(2, 3, 32, 32))


def source(pictures: list[Picture], labels: list[int]) -> lt.Images:
    """Return pictures as an audit takes them."""
    return lt.Images(np.stack(pictures), labels=labels, class_names=CIFAR_CLASSES)


def copies_of(edit: str) -> Row:
    """Plant changed copies of training photos among test photos; none for an empty edit."""
    pictures, labels = photos()
    learned, others = list(range(0, 750)), list(range(750, 1110))
    planted = list(range(0, 750, 750 // N_COPIES))[:N_COPIES] if edit else []
    tests = [EDITS[edit](pictures[at]) for at in planted] + [pictures[at] for at in others]
    found = lt.audit(
        model(),
        source([pictures[at] for at in learned], [labels[at] for at in learned]),
        test=source(tests, [labels[at] for at in planted + others]),
        n_shortcuts=1,
        n_labels=0,
        n_pictures=len(tests),
    )
    copies = next((one for one in found.findings if one.kind == "copies"), None)
    pairs = {} if copies is None else dict(zip(copies.pictures[::2], copies.pictures[1::2], strict=True))
    right = sum(one.index < len(planted) and planted[one.index] == other.index for one, other in pairs.items())
    return {
        "planted": len(planted),
        "found with their original": right,
        "others called copies": sum(one.index >= len(planted) for one in pairs),
        "clear": "yes" if copies is not None and copies.is_clear else "",
        "limit": None if copies is None else copies.facts["limit"],
        "seen by the network too": None if copies is None else copies.agreement,
    }


def copies(rows: Rows) -> None:
    """Measure copies among test pictures."""
    try:
        photos()
    except NoRealMaterial as why:
        print(f"copies are skipped: {why}")
        return
    for edit in ["", *EDITS][: 2 if rows.quick else None]:
        rows.add("copies", edit or "none planted", partial(copies_of, edit))
