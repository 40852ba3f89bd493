"""The U-Net of the flow: a noisy image and its time to the direction of the flow."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.generators.image.blocks import Down, SelfAttention, Steered, Up, groups_of, sinusoids
from likethat.generators.image.networks import padded_size

_SINES = 64  # numbers that say the time, in sines and cosines


class UNet(nn.Module):
    """Halves the map level by level and comes back, with short cuts; the time steers every block.

    Args:
        channels: of the image.
        size: (height, width).
        widths: channels at the finest level, half of it, a quarter, ...
        patch: pixels a side of one cell of the finest level.
        blocks: at each level, on the way down and on the way up.
        code: length of the code of the time.
    """

    def __init__(
        self, *, channels: int, size: tuple[int, int], widths: list[int], patch: int, blocks: int, code: int = 192
    ) -> None:
        super().__init__()
        self.options = {
            "channels": channels,
            "size": size,
            "widths": widths,
            "patch": patch,
            "blocks": blocks,
            "code": code,
        }
        self.size = size
        self.padded = padded_size(size, patch << (len(widths) - 1))
        self.time = nn.Sequential(
            nn.Linear(_SINES, code, dtype=torch.float32),
            nn.SiLU(),
            nn.Linear(code, code, dtype=torch.float32),
            nn.SiLU(),
        )
        self.into = nn.Sequential(
            nn.PixelUnshuffle(patch), nn.Conv2d(channels * patch**2, widths[0], 3, padding=1, dtype=torch.float32)
        )
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            self.down.extend(Steered(width, width, code) for _ in range(blocks))
            if level + 1 < len(widths):
                self.down.append(Down(width, widths[level + 1]))
        self.middle = nn.ModuleList([SelfAttention(widths[-1]), Steered(widths[-1], widths[-1], code)])
        for level in reversed(range(len(widths))):
            self.up.extend(Steered(2 * widths[level], widths[level], code) for _ in range(blocks))
            if level:
                self.up.append(Up(widths[level], widths[level - 1]))
        self.out = nn.Sequential(
            nn.GroupNorm(groups_of(widths[0]), widths[0], dtype=torch.float32),
            nn.SiLU(),
            nn.Conv2d(widths[0], channels * patch**2, 3, padding=1, dtype=torch.float32),
            nn.PixelShuffle(patch),
        )

    def forward(
        self, x: Float[Tensor, "n channel height width"], time: Float[Tensor, " n"]
    ) -> Float[Tensor, "n channel height width"]:
        """Return the velocity at `x` and `time`, from 0 (image) to 1 (noise)."""
        code = self.time(sinusoids(time, _SINES))
        height, width = self.size
        hidden = self.into(nn.functional.pad(x, [0, self.padded[1] - width, 0, self.padded[0] - height]))
        kept = []
        for layer in self.down:
            if isinstance(layer, Steered):
                hidden = layer(hidden, code)
                kept.append(hidden)
            else:
                hidden = layer(hidden)
        hidden = self.middle[1](self.middle[0](hidden), code)
        for layer in self.up:
            hidden = (
                layer(torch.cat([hidden, kept.pop()], dim=1), code) if isinstance(layer, Steered) else layer(hidden)
            )
        velocity: Tensor = self.out(hidden).float()
        return velocity[:, :, :height, :width]
