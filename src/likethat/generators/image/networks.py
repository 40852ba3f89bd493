"""The networks of the image VAE: an encoder to a vector, a decoder from one, and a critic for its last polish."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.generators.image.blocks import Down, Steered, Up, groups_of


def padded_size(size: tuple[int, int], step: int) -> tuple[int, int]:
    """Return height and width rounded up to multiples of `step`.

    Example:
        >>> padded_size((28, 30), 8)
        (32, 32)
    """
    return -(-size[0] // step) * step, -(-size[1] // step) * step


class Encoder(nn.Module):
    """Image to mean and log-variance of its latent.

    Args:
        channels: of the image.
        size: (height, width).
        widths: channels at the finest level, half of it, a quarter, ...; one halving between each.
        latent_dim: length of a latent.
        patch: pixels a side that go into one cell of the finest level.
    """

    def __init__(
        self, *, channels: int, size: tuple[int, int], widths: list[int], latent_dim: int, patch: int = 1
    ) -> None:
        super().__init__()
        n_levels = len(widths) - 1
        self.padded = padded_size(size, patch << n_levels)
        layers: list[nn.Module] = [
            nn.PixelUnshuffle(patch),
            nn.Conv2d(channels * patch**2, widths[0], 3, padding=1, dtype=torch.float32),
        ]
        for into, out in pairwise(widths):
            layers += [nn.SiLU(), Down(into, out), Steered(out, out)]
        self.body = nn.Sequential(
            *layers, nn.GroupNorm(groups_of(widths[-1]), widths[-1], dtype=torch.float32), nn.SiLU()
        )
        cells = (self.padded[0] // patch >> n_levels) * (self.padded[1] // patch >> n_levels)
        self.out = nn.Linear(widths[-1] * cells, 2 * latent_dim, dtype=torch.float32)

    def forward(
        self, images: Float[Tensor, "n channel height width"]
    ) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Return mean and log-variance."""
        height, width = images.shape[2:]
        grown = nn.functional.pad(images - 0.5, [0, self.padded[1] - width, 0, self.padded[0] - height])
        mean, log_variance = self.out(self.body(grown).flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-12, 4)


class Decoder(nn.Module):
    """Latent to image in [0, 1]; the latent steers every level.

    Args:
        channels: of the image.
        size: (height, width).
        widths: channels at the finest level, half of it, a quarter, ...
        latent_dim: length of a latent.
        patch: pixels a side that come out of one cell of the finest level.
    """

    def __init__(
        self, *, channels: int, size: tuple[int, int], widths: list[int], latent_dim: int, patch: int = 1
    ) -> None:
        super().__init__()
        self.size = size
        n_levels = len(widths) - 1
        padded = padded_size(size, patch << n_levels)
        self.base = (widths[-1], padded[0] // patch >> n_levels, padded[1] // patch >> n_levels)
        self.into = nn.Linear(latent_dim, self.base[0] * self.base[1] * self.base[2], dtype=torch.float32)
        self.blocks = nn.ModuleList([Steered(widths[-1], widths[-1], latent_dim)])
        self.ups = nn.ModuleList()
        for into, out in zip(widths[:0:-1], widths[-2::-1], strict=True):
            self.ups.append(Up(into, out))
            self.blocks.append(Steered(out, out, latent_dim))
        self.out = nn.Sequential(
            nn.GroupNorm(groups_of(widths[0]), widths[0], dtype=torch.float32),
            nn.SiLU(),
            nn.Conv2d(widths[0], channels * patch**2, 3, padding=1, dtype=torch.float32),
            nn.PixelShuffle(patch),
        )

    def forward(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n channel height width"]:
        """Return images."""
        hidden = self.blocks[0](self.into(latents).reshape(-1, *self.base), latents)
        for up, block in zip(self.ups, list(self.blocks)[1:], strict=True):
            hidden = block(up(hidden), latents)
        image = torch.sigmoid(self.out(hidden).float())
        return image[:, :, : self.size[0], : self.size[1]]


class Critic(nn.Module):
    """Tells drawn patches from real ones; used in training only.

    Args:
        channels: of the image.
        widths: channels after each halving.
    """

    def __init__(self, *, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for into, out in zip([channels, *widths], widths, strict=False):
            conv = nn.utils.parametrizations.spectral_norm(
                nn.Conv2d(into, out, 4, stride=2, padding=1, dtype=torch.float32)
            )
            self.layers.append(nn.Sequential(conv, nn.LeakyReLU(0.2)))
        self.out = nn.utils.parametrizations.spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1, dtype=torch.float32))

    def forward(self, images: Float[Tensor, "n channel height width"]) -> tuple[Tensor, list[Tensor]]:
        """Return a verdict for each patch, and what each layer saw."""
        seen, hidden = [], images - 0.5
        for layer in self.layers:
            hidden = layer(hidden)
            seen.append(hidden)
        return self.out(hidden), seen
