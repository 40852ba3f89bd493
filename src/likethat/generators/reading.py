"""Inputs from files, in the form in which a generator makes them."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._calls import public, warn
from likethat._checks import check_count
from likethat._inputs import Inputs
from likethat._options import check_path
from likethat._session import in_own_session
from likethat.errors import DataWarning, InputError
from likethat.generators.image.data import fit_image
from likethat.generators.table.files import read_table
from likethat.generators.text.files import read_texts
from likethat.sources import ImageSource, as_source
from likethat.sources._decode import decode

TABLES = frozenset({".csv", ".tsv", ".parquet"})
_MOST = 2000  # pictures that exemplars are compared with: held in memory at once


@public
@in_own_session
def read_input(
    path: str | Path, *, row: int = 0, shape: tuple[int, ...] | None = None, channels: int | None = None
) -> Inputs | str:
    """Read one image, one row of a table or one text, as `FreeMCG` takes them.

    Args:
        path: a picture, a CSV or Parquet file, or a .txt that is one text.
        row: of the table.
        shape: (channel, height, width) to bring a picture to, such as a generator's; its own when None.
        channels: without a shape: 1 makes a colour picture grey, 3 a grey one colour.

    Raises:
        InputError: no such file or row.
        UnreadableImageError: neither a table nor a text, and no picture either.
    """
    path = check_path(path)
    if not path.is_file():
        got = f"the folder {path}" if path.is_dir() else f"{path}, which does not exist"
        raise InputError(f"`path` must be a file, got {got}.")
    if path.suffix.lower() in TABLES:
        frame = read_table(path)
        if check_count(row, name="row", minimum=0) >= len(frame):
            raise InputError(f"`row` must be from 0 to {len(frame) - 1}, got {row}.")
        return frame.iloc[[row]].reset_index(drop=True)
    if path.suffix.lower() == ".txt":
        return path.read_text(encoding="utf-8").strip()
    return fitted(decode(path), str(path), shape=shape, channels=channels)


def fitted(
    image: Float[Tensor, "any h w"], name: str, *, shape: tuple[int, ...] | None, channels: int | None
) -> Float[Tensor, "channel height width"]:
    """Return a picture as `read_input` would; that it is resized is a warning that names it."""
    own = (image.shape[1], image.shape[2])
    size, wanted = (own, channels) if shape is None else ((shape[1], shape[2]), shape[0])
    if size != own:
        warn(
            f"{name} is resized from {own[0]} x {own[1]} to {size[0]} x {size[1]} pixels, cut to its middle, as the "
            "generator makes images",
            DataWarning,
        )
    return fit_image(image, size, wanted if wanted in (1, 3) else len(image))


@public
@in_own_session
def inputs_like(generator: Any, data: Any) -> Inputs:
    """Read real inputs as a generator makes them: pictures cut and resized as its own were, the first 2,000 of them.

    Args:
        generator: of images, rows of a table or texts.
        data: pictures in whatever form `likethat.as_source` takes; a CSV or Parquet file; a file with one text a line.

    Raises:
        InputError: no such file, or one of another kind.
    """
    if generator.kind == "text":
        return read_texts(data)
    if generator.kind == "table":
        return read_table(data)
    channels, *size = generator.shape
    source = as_source(data)
    if not isinstance(source, ImageSource):
        raise InputError("`data` must be images that can be read twice, got a stream. Give a folder, or a list.")
    images = [source[place].image for place in range(min(len(source), _MOST))]
    return torch.stack([fit_image(image, (size[0], size[1]), channels) for image in images])
