"""A sheet of samples to look at: pictures in a grid, rows of a table, lines of text."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from likethat._cells import csv_of
from likethat._files import write_into
from likethat._inputs import Inputs


def sample(generator: Any, n: int, *, seed: int = 0) -> Inputs:
    """Return `n` inputs that a generator makes of latents from its prior.

    Example:
        >>> from likethat.generators import load_generator
        >>> sample(load_generator("zoo:digits"), 2).shape
        torch.Size([2, 1, 32, 32])
    """
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        made: Inputs = generator(generator.prior.sample(n, rng=rng))
    return made


def write_samples(generator: Any, folder: str | Path, *, n: int = 48, seed: int = 0) -> Path:
    """Write samples beside a generator: ``samples.png``, ``samples.csv`` or ``samples.txt``.

    Raises:
        StorageError: the disk did not take it.
    """
    made = sample(generator, n, seed=seed)
    if isinstance(made, Tensor):
        return write_into(folder, "samples.png", picture_grid(made))
    if isinstance(made, list):
        lines = "".join(line.replace("\n", " ") + "\n" for line in made)
        return write_into(folder, "samples.txt", lines.encode("utf-8", "replace"))
    return write_into(folder, "samples.csv", csv_of(made).encode())


def picture_grid(images: Tensor, *, columns: int = 12) -> bytes:
    """Return images (n, channel, height, width) in [0, 1] as one PNG, row by row."""
    import io

    from PIL import Image

    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = torch.ones(rows * columns, channels, height, width, dtype=torch.float32)
    sheet[:n] = images.detach().cpu().float().clamp(0, 1)
    sheet = sheet.reshape(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    array = (sheet.reshape(rows * height, columns * width, channels) * 255).round().to(torch.uint8).numpy()
    if channels not in (1, 3):
        array = array[..., :1]
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
