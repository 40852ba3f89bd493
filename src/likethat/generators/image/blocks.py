"""The building blocks of the image networks: norm, convolution, residual, and a code that steers them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def groups_of(channels: int) -> int:
    """Return how many groups a norm over `channels` has: about 16 channels each, and a divisor."""
    return next(groups for groups in range(max(1, channels // 16), 0, -1) if channels % groups == 0)


class Steered(nn.Module):
    """Two convolutions with a short cut; a code scales and shifts the second one's norm.

    Args:
        into: channels in.
        out: channels out.
        code: length of the steering code; 0 for none.
    """

    def __init__(self, into: int, out: int, code: int = 0) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(groups_of(into), into, dtype=torch.float32),
            nn.SiLU(),
            nn.Conv2d(into, out, 3, padding=1, dtype=torch.float32),
        )
        self.norm = nn.GroupNorm(groups_of(out), out, affine=code == 0, dtype=torch.float32)
        self.steer = nn.Linear(code, 2 * out, dtype=torch.float32) if code else None
        self.second = nn.Conv2d(out, out, 3, padding=1, dtype=torch.float32)
        self.short = nn.Conv2d(into, out, 1, dtype=torch.float32) if into != out else nn.Identity()
        nn.init.zeros_(self.second.weight)
        if self.steer is not None:
            nn.init.zeros_(self.steer.bias)

    def forward(
        self, x: Float[Tensor, "n into height width"], code: Float[Tensor, "n code"] | None = None
    ) -> Float[Tensor, "n out height width"]:
        """Return the block's output."""
        hidden = self.norm(self.first(x))
        if self.steer is not None and code is not None:
            scale, shift = self.steer(code)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        result: Tensor = self.short(x) + self.second(nn.functional.silu(hidden))
        return result


class SelfAttention(nn.Module):
    """Every cell looks at every other."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = next(number for number in range(heads, 0, -1) if channels % number == 0)
        self.norm = nn.GroupNorm(groups_of(channels), channels, dtype=torch.float32)
        self.mix = nn.Conv2d(channels, 3 * channels, 1, dtype=torch.float32)
        self.out = nn.Conv2d(channels, channels, 1, dtype=torch.float32)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Float[Tensor, "n channel height width"]) -> Float[Tensor, "n channel height width"]:
        """Return the cells with what they saw added."""
        n, channels, height, width = x.shape
        parts = self.mix(self.norm(x)).reshape(n, 3, self.heads, channels // self.heads, height * width)
        query, key, value = parts.transpose(3, 4).unbind(1)
        seen = nn.functional.scaled_dot_product_attention(query, key, value)
        result: Tensor = x + self.out(seen.transpose(2, 3).reshape(n, channels, height, width))
        return result


class Down(nn.Conv2d):
    """Halves height and width."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__(into, out, 3, stride=2, padding=1, dtype=torch.float32)


class Up(nn.Module):
    """Doubles height and width."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, padding=1, dtype=torch.float32)

    def forward(self, x: Float[Tensor, "n into height width"]) -> Float[Tensor, "n out height2 width2"]:
        """Return the map with each cell in four."""
        result: Tensor = nn.functional.interpolate(self.conv(x), scale_factor=2.0, mode="nearest")
        return result


def parameter_device(network: nn.Module) -> torch.device:
    """Return where a network's weights lie; the CPU for one without weights."""
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def sinusoids(level: Float[Tensor, " n"], size: int) -> Float[Tensor, "n size"]:
    """Return a number in [0, 1] as sines and cosines of many frequencies."""
    frequencies = torch.exp(torch.linspace(0.0, 6.0, size // 2, device=level.device, dtype=torch.float32))
    angles = level[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def half_precision(device: str) -> torch.autocast:
    """Return the context of the forward pass: bfloat16 where the hardware multiplies it faster."""
    kind = torch.device(device).type
    can = torch.cuda.is_bf16_supported() if kind == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    # Weights change from step to step: inside a caller's own autocast their copies would be kept beyond the step.
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=bool(can), cache_enabled=False)


def channels_last(network: nn.Module) -> None:
    """Lay a network's weights out as its convolutions like them best."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
