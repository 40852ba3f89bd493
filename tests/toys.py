"""Small classifiers and pictures for tests: seconds, not minutes."""

from pathlib import Path

import torch
from torch import Tensor, nn

from likethat.features import Features


class ClassToken(nn.Module):
    """A network whose head reads a class token beside the patches, as a ViT's does."""

    def __init__(self, n_channels: int = 12, n_classes: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, n_channels, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, n_channels))
        self.attention = nn.MultiheadAttention(n_channels, 2, batch_first=True)
        self.norm = nn.LayerNorm(n_channels)
        self.head = nn.Linear(n_channels, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        logits: Tensor = self.head(self.norm(tokens)[:, 0])
        return logits


class Sine(nn.Module):
    """A step that has no frozen form."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sine of each number."""
        return x.sin()


def small_cnn(n_channels: int = 16, n_classes: int = 3, seed: int = 0) -> nn.Sequential:
    """A CNN with batch norm, (channel, 4, 4) maps for images of 16 pixels, weights from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(3, 12, 3, padding=1),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.Conv2d(12, n_channels, 4, stride=4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(n_channels, n_classes),
        )
    return network.eval()


def class_token_network(seed: int = 0) -> ClassToken:
    """A class-token network with weights from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ClassToken().eval()


def pictures(n: int = 90, seed: int = 0, size: int = 16) -> Tensor:
    """Noise with one bright square of one of six colours at one of sixteen places."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, size, size, generator=rng) * 0.3
    colours = torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]]).float()
    cell = size // 4
    for index in range(n):
        row, column = divmod(int(torch.randint(16, (1,), generator=rng)), 4)
        colour = colours[int(torch.randint(6, (1,), generator=rng))]
        images[index, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = colour[:, None, None]
    return images


def same_files(first: Path, second: Path) -> bool:
    """Whether two banks hold the same tensors, rows and pictures, byte for byte."""
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    others = sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    kept = [name for name in names if name.name != "manifest.json"]
    return names == others and all((first / name).read_bytes() == (second / name).read_bytes() for name in kept)


def features_of(maps: Tensor, *, labels: Tensor | None = None, predicted: Tensor | None = None) -> Features:
    """One pass over images of which only the (image, channel, cell) maps matter: all held, in a row of cells."""
    n, means = len(maps), maps.mean(2)
    return Features(
        means=means,
        pooled=means,
        predicted=torch.zeros(n, dtype=torch.long) if predicted is None else predicted,
        labels=torch.full((n,), -1) if labels is None else labels,
        indices=torch.arange(n),
        names=[f"{index}.png" for index in range(n)],
        kept=torch.arange(n),
        maps=maps,
        views=torch.zeros(n, 1, 1, 1, dtype=torch.uint8),
        grid=(1, maps.shape[2]),
    )
