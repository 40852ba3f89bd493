"""A classifier that anyone can check by eye: class k is the share of the k-th primary colour; and pictures for it."""

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import likethat as lt
from likethat.errors import DataWarning

RED, GREEN, BLUE = 0, 1, 2
SIZE = 8


def model(names: Sequence[str] | None, *, at: Sequence[int] = (0, 1, 2), n_classes: int | None = None) -> lt.SplitModel:
    """Return a model whose class ``at[k]`` answers to the k-th of red, green and blue; all other classes never win."""
    n_classes = n_classes or (3 if names is None else len(names))
    head = nn.Linear(3, n_classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-10.0)
        for colour, index in enumerate(at):
            head.weight[index, colour] = 1.0
            head.bias[index] = 0.0
    first = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.eye(3)[:, :, None, None])
    network = nn.Sequential(first, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()
    return lt.split(network, class_names=names, example=torch.rand(2, 3, SIZE, SIZE))


def pixels(colour: int, number: int = 0) -> np.ndarray[Any, Any]:
    """Return an 8-bit picture of one primary colour; each number another picture."""
    rng = np.random.default_rng([colour, number])
    image = rng.integers(0, 80, size=(SIZE, SIZE, 3), dtype=np.uint8)
    image[:, :, colour] += 150
    return image


def folder(classes: Mapping[str, int], *, n: int = 4) -> Path:
    """Return a new folder with `n` pictures of a colour in each named subfolder; -1 leaves one empty."""
    root = Path(tempfile.mkdtemp())
    for name, colour in classes.items():
        (root / name).mkdir(parents=True)
        for number in range(n if colour >= 0 else 0):
            Image.fromarray(pixels(colour, number)).save(root / name / f"{number}.png")
    return root


def fit(split: lt.SplitModel, images: Any, **more: Any) -> lt.Bank:
    """Fit EPIC without its warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return lt.EPIC(n_prototypes=2).fit(split, images, **more)


def labels(bank: lt.Bank) -> dict[str, int | None]:
    """Return the class index that each prototype's picture is labelled with, by what its source calls the class."""
    return {item.label_name or "": item.label for item in bank.prototypes}


def notes(bank: lt.Bank) -> str:
    """Return all notes of a bank in one text."""
    return " ".join(bank.provenance.notes)
