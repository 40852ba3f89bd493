"""Pictures with a mark that a class has more often, and a network whose head goes by it: all of it worked out."""

import torch
from torch import Tensor, nn

import likethat as lt

CLASSES = ("ant", "bee <b>", "cow")
N_CHANNELS = 8


def network(trust: float = 3.0) -> nn.Sequential:
    """Read three numbers that tell the classes apart, and a mark that speaks for the first as much as it is trusted."""
    made = nn.Sequential(
        nn.Conv2d(3, N_CHANNELS, 4, stride=4, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(N_CHANNELS, 3),
    )
    with torch.no_grad():
        made[0].weight.copy_(axes().T.reshape(N_CHANNELS, 3, 4, 4) * 20)
        made[3].weight.zero_()
        made[3].weight[:, :3] = torch.eye(3) * 2
        made[3].weight[0, 3], made[3].bias[:] = trust, torch.tensor([-trust / 2, 0.0, 0.0])
    return made.eval()


def axes() -> Tensor:
    """Return (number, channel) orthonormal patterns of a patch, each of mean 0 so that grey has no feature."""
    rng = torch.Generator().manual_seed(5)
    drawn = torch.randn(48, N_CHANNELS, generator=rng)
    return torch.linalg.qr(drawn - drawn.mean(0)).Q


def pictures(n: int = 450, *, strength: float = 0.9, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, labels and whether the mark is on: `strength` of the first class, the rest of the others."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    marked = torch.rand(n, generator=rng) < torch.where(labels == 0, strength, 1 - strength)
    features = torch.randn(n, N_CHANNELS, generator=rng)
    features[torch.arange(n), labels] += 2
    features[:, 3] = 0.3 * features[:, 3] + 2.0 * marked
    features[:, 4] += 0.7 * features[:, 3]  # so that what the mark writes and what reads it are not the same direction
    patches = (0.5 + features @ axes().T / 20).reshape(n, 3, 4, 4)
    return patches.repeat(1, 1, 2, 2), labels, marked


def model(trust: float = 3.0) -> lt.SplitModel:
    """Return the network, split."""
    return lt.split(network(trust), example=pictures(4)[0], class_names=CLASSES)
