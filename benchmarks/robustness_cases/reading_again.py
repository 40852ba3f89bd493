"""A picture given to a bank is read as the bank's own pictures were: the same background, the same white."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import likethat as lt
from robustness_cases import REFUSED, RIGHT, case, expect

SIDE = 8


@cache
def _model() -> lt.SplitModel:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    return lt.split(nn.Sequential(*layers).eval(), example=torch.rand(4, 3, SIDE, SIDE))


@cache
def _transparent() -> Path:
    """A folder of six pictures, red on the left half and transparent on the right."""
    folder = Path(tempfile.mkdtemp())
    for number in range(6):
        pixels = np.zeros((SIDE, SIDE, 4), np.uint8)
        pixels[:, : SIDE // 2] = (200 + number, 0, 0, 255)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@cache
def _twelve_bits() -> Path:
    """A folder of six grey pictures of 16 bits whose brightest value is 4095."""
    folder = Path(tempfile.mkdtemp())
    for number in range(6):
        pixels = np.full((SIDE, SIDE), 4095 - number, np.uint16)
        pixels[: SIDE // 2] = 0
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _bank(folder: Path, **reading: Any) -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(_model(), lt.ImageFolder(folder, **reading))


@case("pictures", "a bank of pictures on black explains a transparent path on black", accepts=RIGHT)
def _() -> None:
    why = _bank(_transparent(), background="black").explain(_transparent() / "3.png")
    expect(why.image[:, 0, -1], np.zeros(3), "the picture where it is transparent", tolerance=1e-6)


@case("pictures", "a bank of pictures on black, saved and opened, explains a transparent path on black", accepts=RIGHT)
def _() -> None:
    place = _bank(_transparent(), background="black").save(Path(tempfile.mkdtemp()) / "bank")
    why = lt.open_bank(place, _model()).explain(_transparent() / "3.png")
    expect(why.image[:, 0, -1], np.zeros(3), "the picture where it is transparent", tolerance=1e-6)


@case("pictures", "a bank whose pictures were read as always explains a transparent path on white", accepts=RIGHT)
def _() -> None:
    why = _bank(_transparent()).explain(_transparent() / "3.png")
    expect(why.image[:, 0, -1], np.ones(3), "the picture where it is transparent", tolerance=1e-6)


@case("pictures", "a bank of 12-bit pictures (white=4095) explains a 12-bit path as bright as they are", accepts=RIGHT)
def _() -> None:
    why = _bank(_twelve_bits(), white=4095).explain(_twelve_bits() / "0.png")
    expect(float(why.image.max()), 1.0, "the brightest value", tolerance=1e-6)


@case("pictures", "a bank of 12-bit pictures takes a tensor in [0, 1] as it is", accepts=RIGHT)
def _() -> None:
    why = _bank(_twelve_bits(), white=4095).explain(torch.full((3, SIDE, SIDE), 0.5))
    expect(float(why.image.max()), 0.5, "the brightest value", tolerance=1e-6)


@case("pictures", "a bank of 12-bit pictures explains an 8-bit path without making it dark", accepts=RIGHT)
def _() -> None:
    place = Path(tempfile.mkdtemp()) / "eight.png"
    Image.fromarray(np.full((SIDE, SIDE, 3), 255, np.uint8)).save(place)
    why = _bank(_twelve_bits(), white=4095).explain(place)
    expect(float(why.image.max()), 1.0, "the brightest value", tolerance=1e-6)


@case("pictures", "a fit interrupted on black is not gone on with on white", accepts=REFUSED)
def _() -> None:
    left = Path(tempfile.mkdtemp()) / "left"

    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    try:
        black = lt.ImageFolder(_transparent(), background="black")
        lt.EPIC(n_prototypes=2).fit(_model(), black, checkpoint=left, watch=stop)
    except KeyboardInterrupt:
        pass
    lt.EPIC(n_prototypes=2).fit(_model(), lt.ImageFolder(_transparent()), checkpoint=left, resume=True)
