"""A tiny trained model and a folder of tiny pictures on disk."""

from pathlib import Path

import pytest
import torch
from command_line import fit_words, likethat
from PIL import Image
from safetensors.torch import save_file
from toys import pictures


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
    """The weights of a tiny network of timm's with three classes, saved locally."""
    timm = pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("test_resnet", num_classes=3)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
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
