"""Real networks and photos that lie beside the repository, not in it: `../shared/real`, or LIKETHAT_REAL.

Everything here raises `NoRealMaterial` with a sentence where they are not; tests and benchmarks skip with it.
"""

import os
import tarfile
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = [
    "CIFAR_CLASSES",
    "CIFAR_MEAN",
    "CIFAR_STD",
    "NoRealMaterial",
    "ResNet20",
    "cifar_folder",
    "imagenet_folder",
    "imagenet_names",
    "lite0",
    "real_folder",
    "resnet20",
]

ROOT = Path(__file__).resolve().parents[1]
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_MEAN, CIFAR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what the published weights were trained with


class NoRealMaterial(Exception):  # noqa: N818 - a reason to skip
    """The folder of real material is not on this machine."""


def real_folder() -> Path:
    """Return the folder of real networks and photos."""
    folder = Path(os.environ.get("LIKETHAT_REAL", ROOT.parent / "shared" / "real"))
    if not (folder / "resnet20_cifar10.safetensors").is_file():
        raise NoRealMaterial("no real networks and photos here: set LIKETHAT_REAL to the folder that holds them")
    return folder


@cache
def _unpacked(name: str) -> Path:
    """Unpack an archive once, below out/, and return its folder."""
    place = ROOT / "out" / "real"
    done = place / f".{name}.done"
    if not done.exists():
        place.mkdir(parents=True, exist_ok=True)
        with tarfile.open(real_folder() / f"{name}.tar") as archive:
            archive.extractall(place, filter="data")
        done.touch()
    return place / name


def cifar_folder(part: str = "test") -> Path:
    """Return the folder of CIFAR-10's pictures, one folder a class; `part` is "train" or "test"."""
    real_folder()
    return _unpacked("cifar10") / part


def imagenet_folder() -> Path:
    """Return the folder of 500 ImageNet photos, `KKK_name.jpg` with KKK the class index."""
    real_folder()
    return _unpacked("imagenet")


def imagenet_names() -> list[str]:
    """Return a word for each of ImageNet's 1,000 classes."""
    return (real_folder() / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()


class _Block(nn.Module):
    """Two convolutions and a shortcut without weights (option A of He et al. 2016)."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(given, made, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(made)
        self.conv2 = nn.Conv2d(made, made, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(made)
        self.widens = given != made

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.widens:
            made = y.shape[1]
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, made // 4, made // 4))
        return torch.relu(x + y)


class ResNet20(nn.Module):
    """The CIFAR-10 ResNet-20 as its authors' published weights name it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
        for stage, (given, made, stride) in enumerate(widths, start=1):
            blocks = [_Block(given, made, stride), _Block(made, made, 1), _Block(made, made, 1)]
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(images)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


def resnet20() -> ResNet20:
    """Return the published CIFAR-10 ResNet-20, in evaluation mode; it takes (picture - CIFAR_MEAN) / CIFAR_STD."""
    network = ResNet20()
    network.load_state_dict(load_file(real_folder() / "resnet20_cifar10.safetensors"))
    return network.eval()


def lite0() -> nn.Module:
    """Return timm's ImageNet EfficientNet-Lite0 with its published weights, in evaluation mode."""
    import timm

    network: nn.Module = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(load_file(real_folder() / "tf_efficientnet_lite0.safetensors"))
    return network.eval()
