"""Classifiers of the user's own: a file, its function, and weights from another file."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from toys import small_cnn

import likethat as lt
from likethat.errors import InputError, ModelError

CODE = """
import torch
from torch import nn
from beside_me import N_CLASSES  # a file of the same folder
import likethat as lt

def build(n_classes=N_CLASSES):
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 4, stride=4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, n_classes),
    )

def whole():
    return lt.split(build().eval(), preprocess=lt.Preprocess(mean=(0.5,) * 3, std=(0.2,) * 3, size=(16, 16)),
                    class_names=("ant", "bee", "cat"))

def broken():
    return build(n_classes="three")

def text():
    return "a network"

constant = 3
"""


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "beside_me.py").write_text("N_CLASSES = 3\n", encoding="utf-8")
    path = tmp_path / "my_module.py"
    path.write_text(CODE, encoding="utf-8")
    return path


def weights_of(network: nn.Module, path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def test_a_function_of_a_file_with_weights_of_another(module: Path, tmp_path: Path) -> None:
    network = small_cnn(seed=4)
    weights = weights_of(network, tmp_path / "w.safetensors")
    before, known = list(sys.path), "beside_me" in sys.modules
    model = lt.load(f"{module}:build", weights=weights)
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(model.network(images), network(images))
    assert (model.name, model.weights) == (f"{module}:build", str(weights))
    assert sys.path == before
    assert not known


def test_a_dictionary_changes_what_the_images_are_prepared_with(module: Path) -> None:
    own = lt.load(f"{module}:whole").preprocess
    assert (own.mean, own.size) == ((0.5,) * 3, (16, 16))
    changed = lt.load(f"{module}:whole", preprocess={"std": (0.1, 0.2, 0.3)}).preprocess
    assert (changed.mean, changed.std, changed.size) == (own.mean, (0.1, 0.2, 0.3), own.size)
    timm = lt.load("timm:test_resnet", preprocess={"size": 96}).preprocess  # its own resizes to more than its size
    assert (timm.size, timm.resize, timm.mean) == ((96, 96), None, lt.load("timm:test_resnet").preprocess.mean)
    bare = lt.load(f"{module}:build", preprocess={"mean": 0.5, "std": 0.25}).preprocess
    assert (bare.mean, bare.std, bare.size) == ((0.5,), (0.25,), None)
    with pytest.raises(InputError, match="`std` must be given with `mean`"):
        lt.load(f"{module}:build", preprocess={"mean": 0.5})


def test_what_split_made_keeps_its_preprocessing_and_names(module: Path, tmp_path: Path) -> None:
    network = small_cnn(seed=5)
    model = lt.load(f"{module}:whole", weights=weights_of(network, tmp_path / "w.safetensors"))
    assert model.class_names == ("ant", "bee", "cat")
    assert model.preprocess.input_size == (16, 16)
    images = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(images), network((images - 0.5) / 0.2))
    assert lt.load(f"{module}:whole", class_names=("a", "b", "c")).class_names == ("a", "b", "c")


def test_options_go_to_the_function(module: Path) -> None:
    assert lt.load(f"{module}:build", n_classes=7).n_classes == 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}:nothing", "defines no function"),
        ("{}:constant", "defines no function"),
        ("{}:text", "returned str"),
        ("{}:broken", "must not fail, got TypeError"),
        ("{}x.py:build", "there is no file"),
    ],
)
def test_what_is_no_classifier_is_said(name: str, said: str, module: Path) -> None:
    with pytest.raises(InputError, match=said):
        lt.load(name.format(module))


def test_a_file_that_does_not_run_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "half_done.py"
    path.write_text("def build(:\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"must not fail, got SyntaxError.*Run the file with Python first"):
        lt.load(f"{path}:build")
    assert "half_done" not in sys.modules


def test_weights_that_do_not_fit(module: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"w\.safetensors"):
        lt.load(f"{module}:build", weights=weights_of(small_cnn(20), tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match="`weights` must be a local file or None"):
        lt.load(f"{module}:build", weights="DEFAULT")
