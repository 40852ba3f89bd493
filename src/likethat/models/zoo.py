"""Two small classifiers that come with the library: drawn creatures and handwritten digits."""

import json
from importlib.resources import as_file, files
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from likethat._checks import check_choice

__all__ = ["ZOO", "ConvNet", "load_zoo", "zoo_card"]

ZOO = ("creatures", "digits")


class ConvNet(nn.Module):
    """Convolutions with batch norm and ReLU, the mean over space, one linear layer.

    Args:
        in_channels: of the images.
        layers: (channels, kernel size, stride) of each convolution.
        n_classes: of the head.
    """

    def __init__(self, *, in_channels: int, layers: list[tuple[int, int, int]], n_classes: int) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for channels, kernel, stride in layers:
            modules += [
                nn.Conv2d(
                    in_channels, channels, kernel, stride=stride, padding=kernel // 2, bias=False, dtype=torch.float32
                ),
                nn.BatchNorm2d(channels, dtype=torch.float32),
                nn.ReLU(inplace=True),
            ]
            in_channels = channels
        self.features = nn.Sequential(*modules)
        self.head = nn.Linear(in_channels, n_classes, dtype=torch.float32)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        """Return the logits of images in [0, 1]."""
        logits: Tensor = self.head(self.features(images - 0.5).mean(dim=(2, 3)))
        return logits


def load_zoo(name: str) -> ConvNet:
    """Return a classifier of the zoo, in evaluation mode.

    Args:
        name: ``"creatures"`` or ``"digits"``.

    Raises:
        InputError: no such classifier.

    Example:
        >>> load_zoo("digits").head.out_features
        10
    """
    with as_file(files("likethat") / "zoo" / f"{_checked(name)}.safetensors") as path, safe_open(path, "pt") as file:
        with torch.device("meta"):  # no weights are drawn: torch's random state stays
            network = ConvNet(**json.loads(file.metadata()["card"])["config"])
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    network.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in state.items()}, assign=True
    )
    return network.eval()


def zoo_card(name: str) -> dict[str, Any]:
    """Return what is known of a classifier: class names, input size, accuracy, how it was trained.

    Example:
        >>> zoo_card("digits")["input_size"]
        [1, 32, 32]
    """
    with as_file(files("likethat") / "zoo" / f"{_checked(name)}.safetensors") as path, safe_open(path, "pt") as file:
        card: dict[str, Any] = json.loads(file.metadata()["card"])
    return card


def _checked(name: str) -> str:
    return check_choice(name, name="name", choices=ZOO)
