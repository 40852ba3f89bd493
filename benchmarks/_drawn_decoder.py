"""A decoder of drawings of 64 x 64 that nothing of the library made: its networks, their training, and the file of it.

Trained once, it lies in out/outside-drawings.safetensors. What small parts are is told to it as to the autoencoders
of large image generators: beside the pixels it matches what a third network, neither the one explained nor the judge,
sees in its first three layers (Johnson et al., 2016).
"""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

import likethat as lt

KEPT = Path(__file__).parent.parent / "out" / "outside-drawings.safetensors"
LATENT, N_DRAWN = 96, 15008
STEPS, BATCH = 3000, 32
N_DENSITY = 4000  # drawings whose codes give the density of latents
SEEN, PIXEL, NATS = 0.7, 0.06, 2.0  # weights: of layers matched; scale of a pixel's error; of the divergence


def conv(into: int, out: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution of 3 x 3."""
    return nn.Conv2d(into, out, 3, stride, 1)


class Residual(nn.Module):
    """Two convolutions beside a short cut; a code scales and shifts what lies between them."""

    def __init__(self, width: int, code: int = 0) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)
        self.code = nn.Linear(code, 2 * width) if code else None
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, code: Tensor | None = None) -> Tensor:
        """Return the block's output."""
        hidden = self.first(functional.relu(x))
        if self.code is not None:
            scale, shift = self.code(code)[:, :, None, None].chunk(2, 1)
            hidden = torch.addcmul(shift, hidden, 1 + scale)
        found: Tensor = x + self.second(functional.relu(hidden))
        return found


class Encoder(nn.Module):
    """Drawing to mean and log-variance of its code."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4), conv(48, 64), Residual(64), nn.ReLU(), conv(64, 128, 2), Residual(128), nn.ReLU(),
            nn.Flatten(), nn.Linear(8192, 2 * LATENT),
        )  # fmt: skip

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return both."""
        mean, log_variance = self.body(images - 0.5).float().chunk(2, 1)
        return mean, log_variance.clamp(-12, 4)


class Decoder(nn.Module):
    """Code to drawing, by way of 8 x 8, 16 x 16 and 32 x 32 cells."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(LATENT, 160 * 64)
        self.coarse, self.up = Residual(160, LATENT), conv(160, 96 * 4)
        self.middle, self.fine = Residual(96, LATENT), Residual(96, LATENT)
        self.last_up = conv(96, 32 * 4)
        self.out = nn.Sequential(nn.ReLU(), conv(32, 12), nn.PixelShuffle(2))

    def forward(self, codes: Tensor) -> Tensor:
        """Return drawings in [0, 1]."""
        cells = self.into(codes).unflatten(1, (160, 8, 8)).contiguous(memory_format=torch.channels_last)
        cells = functional.pixel_shuffle(self.up(self.coarse(cells, codes)), 2)
        cells = self.fine(self.middle(cells, codes), codes)
        cells = functional.pixel_shuffle(self.last_up(functional.relu(cells)), 2)
        return torch.sigmoid(self.out(cells).float())


class Third(nn.Module):
    """A small classifier whose layers say what matters in a drawing."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([conv(12, 32), conv(32, 64, 2), conv(64, 96, 2)])
        self.head = nn.Linear(96, 24)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for width in (32, 64, 96)])

    def seen(self, images: Tensor) -> list[Tensor]:
        """Return what each layer sees."""
        found, cells = [], functional.pixel_unshuffle(images - 0.5, 2)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            cells = functional.relu(norm(layer(cells)) if self.training else layer(cells))
            found.append(cells)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.head(self.seen(images)[-1].mean((2, 3)))
        return logits

    def folded(self) -> "Third":
        """Take the norms into the convolutions, for good."""
        self.eval().requires_grad_(False)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            by = norm.weight / (norm.running_var + norm.eps).sqrt()
            layer.weight *= by[:, None, None, None]
            layer.bias.copy_((layer.bias - norm.running_mean) * by + norm.bias)
        return self


def half() -> torch.autocast:
    """Return the context of the forward passes: bfloat16, where the processor multiplies it."""
    return torch.autocast("cpu", torch.bfloat16, torch.ops.mkldnn._is_mkldnn_bf16_supported(), cache_enabled=False)


def batch(pictures: Tensor, rows: Tensor, rng: torch.Generator) -> Tensor:
    """Return some drawings, half of them mirrored."""
    images = pictures[rows].float() / 255
    mirrored = torch.rand(len(images), generator=rng) < 0.5
    images[mirrored] = images[mirrored].flip(3)
    return images.contiguous(memory_format=torch.channels_last)


def set_rate(optimizer: torch.optim.Optimizer, step: int, *, steps: int, top: float, warm: int) -> None:
    """Set the learning rate: it rises, then falls as a cosine."""
    for group in optimizer.param_groups:
        group["lr"] = top * min(1, (step + 1) / warm) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def third(pictures: Tensor, labels: Tensor, *, steps: int = 500) -> Third:
    """Train the third network."""
    torch.manual_seed(1)
    rng = torch.Generator().manual_seed(1)
    network = Third().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for step in range(steps):
        rows = torch.randint(len(pictures), (64,), generator=rng)
        set_rate(optimizer, step, steps=steps, top=3e-3, warm=100)
        images = batch(pictures, rows, rng)
        images = images + 0.05 * torch.rand(len(images), 1, 1, 1) * torch.randn(images.shape)
        with half():
            loss = functional.cross_entropy(network(images).float(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.folded()


def autoencoder(pictures: Tensor, seer: Third) -> tuple[Encoder, Decoder]:
    """Train encoder and decoder; return the averages of their weights."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    encoder, decoder = (part().to(memory_format=torch.channels_last) for part in (Encoder, Decoder))
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.AdamW(weights, 1e-3, betas=(0.9, 0.99), weight_decay=1e-3)
    averages = [weight.detach().clone() for weight in weights]
    for step in range(STEPS):
        set_rate(optimizer, step, steps=STEPS, top=1e-3, warm=200)
        images = batch(pictures, torch.randint(len(pictures), (BATCH,), generator=rng), rng)
        with half():
            mean, log_variance = encoder(images)
            made = decoder(mean + torch.randn(mean.shape, generator=rng) * (log_variance / 2).exp())
            with torch.no_grad():
                theirs = seer.seen(images)
            pairs = zip(seer.seen(made), theirs, strict=True)
            missed = sum((one - other).abs().float().mean() / other.float().mean() for one, other in pairs)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = (made - images).abs().mean() / PIXEL + SEEN * missed
        loss = loss + NATS * min(1, step / 500) * divergence / images[0].numel()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        share = 1 - min(0.998, (1 + step) / (10 + step))
        torch._foreach_lerp_(averages, [weight.detach() for weight in weights], share)
    for weight, average in zip(weights, averages, strict=True):
        weight.data.copy_(average)
    return encoder.eval(), decoder.eval()


@cache
def trained() -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return what takes drawings to latents, and the decoder, of latents whose density is N(0, I)."""
    parts = nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()})
    parts.register_buffer("middle", torch.zeros(LATENT))
    parts.register_buffer("spread", torch.eye(LATENT))
    if KEPT.is_file():
        parts.load_state_dict(load_file(KEPT))
    else:
        pictures, labels = lt.creatures(N_DRAWN, seed=5, size=64).tensors()
        parts["encoder"], parts["decoder"] = autoencoder(pictures, third(pictures, labels))
        parts.middle, parts.spread = density(parts["encoder"], pictures[:N_DENSITY])
        KEPT.parent.mkdir(exist_ok=True)
        save_file({name: value.contiguous() for name, value in parts.state_dict().items()}, KEPT)
    parts.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    spread = parts.spread

    def encode(images: Tensor) -> Tensor:
        with half():
            mean: Tensor = parts["encoder"](images)[0]
        return torch.linalg.solve_triangular(spread, (mean - parts.middle).mT, upper=False).mT

    def decode(latents: Tensor) -> Tensor:
        with half():
            images: Tensor = parts["decoder"](parts.middle + latents @ spread.mT)
        return images

    return encode, decode


@torch.no_grad()
def density(encoder: Encoder, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the middle of the codes, and a factor of their covariance: that of the means, and what each may be off."""
    with half():
        found = [encoder(some.float() / 255) for some in pictures.split(100)]
    means, log_variances = (torch.cat(each) for each in zip(*found, strict=True))
    covariance = torch.cov(means.mT) + log_variances.exp().mean(0).diag()
    return means.mean(0), torch.linalg.cholesky(covariance)
