"""What forged files are made of: originals that likethat wrote, and ways to change one thing in them."""

import copy
import functools
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import likethat as lt
from likethat import papers

__all__ = ["GONE", "fit_tiny", "in_json", "left_by", "left_fit", "put", "tiny_generator", "tiny_model"]

GONE = object()
"""In the place of a value: the place goes too."""

CONFIGS: dict[str, dict[str, Any]] = {
    "image-vae": {
        "channels": 1,
        "size": [8, 8],
        "latent_dim": 2,
        "patch": 1,
        "widths": [8, 8],
        "encoder_widths": [8, 8],
    },
    "image-flow": {"channels": 1, "size": [8, 8], "widths": [8, 8], "patch": 1, "blocks": 1, "code": 8},
}


def put(document: Any, place: Sequence[Any], value: Any) -> None:
    """Put a value at a place of a JSON document, or take the place away."""
    *steps, last = place
    for step in steps:
        document = document[step]
    if value is GONE:
        del document[last]
    else:
        document[last] = copy.copy(value)


def in_json(name: str, *place: Any, value: Any) -> Callable[[Path], None]:
    """Return what puts a value into a JSON file of a folder."""

    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        put(document, place, value)
        (folder / name).write_text(json.dumps(document))

    return change


def tiny_model(n_classes: int = 3, **options: Any) -> tuple[lt.SplitModel, torch.Tensor]:
    """Return a tiny network with the same weights every time, and twelve images."""
    torch.manual_seed(0)
    body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())
    head = torch.nn.Linear(4, n_classes)
    network = torch.nn.Sequential(body, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), head)
    images = torch.rand(12, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return lt.split(network.eval(), example=images[:2], **options), images


def _made(family: str) -> Path:
    """One tiny generator a family, made once and copied."""
    with torch.random.fork_rng(devices=[]):
        folder = Path(tempfile.mkdtemp()) / family
        if family == "image-vae":
            from likethat.generators.image.vae import ImageVAE, build_networks
            from likethat.generators.priors import Mixture

            encoder, decoder = build_networks(CONFIGS[family])
            prior = Mixture(torch.ones(1), torch.zeros(1, 2), torch.ones(1, 2))
            return ImageVAE(encoder, decoder, prior=prior, config=CONFIGS[family]).save(folder)
        if family == "image-flow":
            from likethat.generators.image.flow import ImageFlow
            from likethat.generators.image.unet import UNet

            return ImageFlow(UNet(**CONFIGS[family]), shape=(1, 8, 8), n_steps=2).save(folder)
        if family == "table-vae":
            frame = pd.DataFrame({"age": np.arange(60) % 47, "kind": ["=a", "b", "c"] * 20})
            return lt.train_generator(frame, kind="table", epochs=1).save(folder)
        return lt.train_generator(["red bird", "blue bird", "a red fish"] * 8, kind="text", epochs=1).save(folder)


@functools.cache
def tiny_generator(family: str) -> Path:
    """Return the folder of a tiny generator, made once; nothing is changed in it."""
    try:
        return _made(family)
    except lt.errors.LikethatError as error:
        raise AssertionError("the generator to be forged is not made") from error


def fit_tiny(folder: Path, *, resume: bool, stop: bool = False) -> lt.Bank:
    """Fit a tiny network, with a checkpoint that may be gone on from, or be left."""

    def watch(_: Any) -> None:
        if stop:
            raise KeyboardInterrupt

    model, images = tiny_model()
    explainer = papers.EPIC(n_prototypes=2, epochs=2)
    return explainer.fit(model, images, checkpoint=folder, resume=resume, watch=watch)


def left_by(work: Callable[[Path], Any]) -> Path:
    """Return the folder that work, which is interrupted, leaves."""
    folder = Path(tempfile.mkdtemp()) / "left"
    try:
        work(folder)
    except KeyboardInterrupt:
        return folder
    raise AssertionError("it was not interrupted")


@functools.cache
def left_fit() -> Path:
    """What an interrupted fit leaves, made once."""
    return left_by(lambda folder: fit_tiny(folder, resume=False, stop=True))
