"""A tiny trained model and a folder of tiny pictures on disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import fit_words, likethat
from PIL import Image
from safetensors.torch import load_file, save_file
from toys import pictures, small_cnn

import likethat as lt
from likethat import models


@pytest.fixture(scope="session", autouse=True)
def toys() -> Iterator[None]:
    """Let ``toy:cnn`` be a model that loads in no time; every other name is the library's."""
    real = models.load

    def load(name: str, weights: Any = None, *, class_names: Any = None, **options: Any) -> lt.SplitModel:
        if name != "toy:cnn":
            return real(name, weights, class_names=class_names, **options)
        network = small_cnn(seed=1)
        if weights is not None:
            network.load_state_dict(load_file(weights))
        model = lt.split(network, class_names=class_names, example=pictures(4))
        model.name = name
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load", load)
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of 16 pixels in three subfolders."""
    root = tmp_path_factory.mktemp("pictures")
    for index, image in enumerate(pictures(60)):
        path = root / ("ant", "bee", "cat")[index % 3] / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(path)
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of ``toy:cnn``, saved locally."""
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    save_file(small_cnn(seed=0).state_dict(), path)
    return path


@pytest.fixture(scope="session")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a tiny network of timm's with three classes, saved locally."""
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("test_resnet", num_classes=3)
    path = tmp_path_factory.mktemp("timm") / "tiny.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of class names."""
    path = tmp_path_factory.mktemp("names") / "names.txt"
    path.write_text("ant\nbee\ncat\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def bank(folder: Path, weights: Path, names: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank fitted by the command line."""
    path = tmp_path_factory.mktemp("banks") / "bank"
    result = likethat(*fit_words(folder, weights, path), "--class-names", names)
    assert result.exit_code == 0, result.stderr
    return path
