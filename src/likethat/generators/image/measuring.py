"""How real a generator's images are: made ones, and real ones that were kept back, beside those learned from."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from sklearn.decomposition import PCA
from torch import Tensor

from likethat.generators.comparing import compared_features, median, share
from likethat.generators.quality import Compared

_SIDE = 32  # pixels a side, at most, at which images are compared: what the eye sees of one at a glance
_AXES, _MOST = 32, 5000  # directions in which images differ most, and of how many images they are learned
_NEAR, _COPY = 50, 1 / 3  # neighbours that say how far images lie apart, and the share of that which is a copy
_BLOCK = 256  # images at a time
_NAMES = ("brightness", "contrast", "edges", "fine detail", "colour")


def compared_images(
    generator: Any, kept_back: UInt8[Tensor, "n c h w"], learned: UInt8[Tensor, "m c h w"], *, seed: int
) -> list[Compared]:
    """Measure made images, and real ones beside them.

    Args:
        generator: of latents; what `encode` says of images is measured where it has that.
        kept_back: real images that it did not learn from.
        learned: real images that it learned from. As many of them as were kept back are the other real half.
        seed: of latents, draws and trees.

    Source:
        Carlini et al., "Extracting training data from diffusion models", USENIX Security 2023, section 5.1, for copies:
        a distance counts beside the mean of the nearest fifty.

    Differs:
        A third of that mean, at 32 x 32 pixels; beside it stands the share of real images that were kept back.
    """
    n = len(kept_back)
    made = _made(generator, n, seed=seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(learned)))
    half, others = learned[order[:n]], learned[order[n:]]
    few = _small(others[:_MOST] if len(others) > n else learned)
    axes = PCA(min(_AXES, *few.shape), random_state=seed).fit(few.numpy())
    features = [
        np.concatenate([_simple(part), axes.transform(_small(part).numpy())], axis=1)
        for part in (kept_back, made, half)
    ]
    names = _NAMES if kept_back.shape[1] == 3 else _NAMES[:-1]
    near = [_nearest(part, learned) for part in (made, kept_back)]
    copied = [each[:, 0] < _COPY * each.mean(axis=1) for each in near]
    found = compared_features(*features, names=names, seed=seed)
    found += [share("copies", *copied), median("nearest", *(each[:, 0] for each in near))]
    if hasattr(generator, "encode"):
        own, theirs = (_off(generator, part) for part in (kept_back, half))
        found.append(Compared(what="whole", name="pixels off", made=own, real=theirs))
    return found


@torch.no_grad()
def _made(generator: Any, n: int, *, seed: int) -> UInt8[Tensor, "n c h w"]:
    """Return made images, rounded to 8 bit as the real ones are."""
    latents = generator.prior.sample(n, rng=torch.Generator().manual_seed(seed + 3))  # after training and prior
    return torch.cat([_bytes(generator(part)) for part in latents.split(_BLOCK // 4)])


def _bytes(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n c h w"]:
    return (images.detach().cpu() * 255).round().to(torch.uint8)


@torch.no_grad()
def _off(generator: Any, images: UInt8[Tensor, "n c h w"]) -> float:
    """Return the mean difference of a pixel between images and what is made of their latents."""
    parts = [part.float() / 255 for part in images.split(_BLOCK // 4)]
    off = [(generator(generator.encode(part)).cpu() - part).abs().mean(dim=(1, 2, 3)) for part in parts]
    return float(torch.cat(off).mean())


def _small(images: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n pixel"]:
    """Return images in [0, 1], at 32 pixels a side at most, as rows."""
    height, width = (min(_SIDE, side) for side in images.shape[2:])
    parts = [
        torch.nn.functional.adaptive_avg_pool2d(part.float() / 255, (height, width)).flatten(1)
        for part in images.split(_BLOCK)
    ]
    return torch.cat(parts)


def _simple(images: UInt8[Tensor, "n c h w"]) -> Float[np.ndarray, "n name"]:
    """Return `_NAMES` of each image; grey ones have no colour."""
    found = []
    for part in images.split(_BLOCK):
        values = part.float() / 255
        grey = values.mean(dim=1)
        spread = grey.flatten(1).std(dim=1)
        edges = grey.diff(dim=1).abs().mean(dim=(1, 2)) + grey.diff(dim=2).abs().mean(dim=(1, 2))
        coarse = torch.nn.functional.avg_pool2d(grey[:, None], 2).flatten(1).std(dim=1)
        columns = [grey.mean(dim=(1, 2)), spread, edges, 1 - coarse / spread.clamp_min(1e-6)]
        if values.shape[1] == 3:
            columns.append((values.amax(dim=1) - values.amin(dim=1)).mean(dim=(1, 2)))
        found.append(torch.stack(columns, dim=1))
    return torch.cat(found).double().numpy()


def _nearest(images: UInt8[Tensor, "n c h w"], learned: UInt8[Tensor, "m c h w"]) -> Float[np.ndarray, "n near"]:
    """Return how far each image is from the nearest of those learned from: root mean square of pixels, ascending."""
    rows = _small(images)
    found = torch.zeros(len(rows), 0, dtype=torch.float32)
    for part in learned.split(4 * _BLOCK):
        far = torch.cdist(rows, _small(part)) / rows.shape[1] ** 0.5
        both = torch.cat([found, far], dim=1)
        found = both.topk(min(_NEAR, both.shape[1]), largest=False).values
    return found.double().numpy()
