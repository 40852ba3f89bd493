"""Small classifiers that come with the library: drawn creatures, by convolutions and by attention; digits."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from likethat._checks import check_choice, require

ZOO = ("creatures", "creatures-vit", "digits")


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


class PatchTransformer(nn.Module):
    """A class token that attends to patches: patches by convolutions of stride 2, pre-norm blocks, one linear layer.

    Args:
        in_channels: of the images.
        stem: channels of each convolution; n of them make patches of 2^n pixels. The last is the tokens' width.
        n_blocks: of attention and two linear layers each.
        n_heads: of each attention.
        hidden: width between the two linear layers.
        grid: (rows, columns) of patches; positions are learned for these alone.
        n_classes: of the head.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        stem: list[int],
        n_blocks: int,
        n_heads: int,
        hidden: int,
        grid: tuple[int, int],
        n_classes: int,
    ) -> None:
        super().__init__()
        width, modules = stem[-1], list[nn.Module]()
        for channels in stem:
            modules += [nn.Conv2d(in_channels, channels, 3, stride=2, padding=1, dtype=torch.float32)]
            modules += [nn.BatchNorm2d(channels, dtype=torch.float32), nn.ReLU(inplace=True)]
            in_channels = channels
        self.patches = nn.Sequential(*modules, nn.Conv2d(width, width, 1, dtype=torch.float32))
        self.token = nn.Parameter(torch.zeros(1, 1, width, dtype=torch.float32))
        drawn = torch.randn(1, 1 + grid[0] * grid[1], width, dtype=torch.float32)
        self.positions = nn.Parameter(0.02 * drawn)  # as ViT begins: small beside the content
        self.blocks = nn.Sequential(*[_Block(width, n_heads, hidden) for _ in range(n_blocks)])
        self.norm = nn.LayerNorm(width, dtype=torch.float32)
        self.head = nn.Linear(width, n_classes, dtype=torch.float32)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        """Return the logits of images in [0, 1]."""
        patches = self.patches(images - 0.5).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(patches), -1, -1), patches], dim=1) + self.positions
        logits: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


class _Block(nn.Module):
    """Attention and two linear layers, each behind a norm and added to what came in."""

    def __init__(self, width: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(width, dtype=torch.float32)
        self.qkv = nn.Linear(width, 3 * width, dtype=torch.float32)
        self.proj = nn.Linear(width, width, dtype=torch.float32)
        self.norm2 = nn.LayerNorm(width, dtype=torch.float32)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden, dtype=torch.float32), nn.GELU(), nn.Linear(hidden, width, dtype=torch.float32)
        )

    def forward(self, tokens: Float[Tensor, "batch token channel"]) -> Float[Tensor, "batch token channel"]:
        """Return the tokens with what they took from each other."""
        query, key, value = self.qkv(self.norm1(tokens)).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        met = nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.proj(met)
        result: Tensor = tokens + self.mlp(self.norm2(tokens))
        return result


def load_zoo(name: str) -> ConvNet | PatchTransformer:
    """Return a classifier of the zoo, in evaluation mode.

    Args:
        name: ``"creatures"``, ``"creatures-vit"`` (a class token) or ``"digits"``.

    Raises:
        InputError: no such classifier.

    Example:
        >>> load_zoo("digits").head.out_features
        10
    """
    with weights_of(_checked(name)) as path, safe_open(path, "pt") as file:
        with torch.device("meta"):  # no weights are drawn: torch's random state stays
            config = json.loads(file.metadata()["card"])["config"]
            network = PatchTransformer(**config) if "n_blocks" in config else ConvNet(**config)
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
    with weights_of(_checked(name)) as path, safe_open(path, "pt") as file:
        card: dict[str, Any] = json.loads(file.metadata()["card"])
    return card


@contextmanager
def weights_of(name: str) -> Iterator[Path]:
    """Yield the file of weights that ships under a name.

    Raises:
        MissingExtraError: likethat-zoo, the package that holds them, is not installed.
    """
    package = require("likethat_zoo", purpose=f"zoo:{name.removeprefix('generator-')}")
    with as_file(files(package) / f"{name}.safetensors") as path:
        yield path


def _checked(name: str) -> str:
    return check_choice(name, name="name", choices=ZOO)
