"""Where given inputs come from: folders, arrays, data sets, drawn creatures and handwritten digits."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from likethat.errors import InputError
from likethat.sources.arrays import Images
from likethat.sources.base import ImageSource, Sample, Skipped
from likethat.sources.creatures import Creatures, CreatureSample, creatures
from likethat.sources.datasets import DatasetSource, IterableSource
from likethat.sources.digits import digits
from likethat.sources.folder import ImageFolder
from likethat.sources.marks import Mark, MarkedImage, Marks
from likethat.sources.reading import Batch, read

__all__ = [
    "Batch",
    "CreatureSample",
    "Creatures",
    "DatasetSource",
    "ImageFolder",
    "ImageSource",
    "Images",
    "IterableSource",
    "Mark",
    "MarkedImage",
    "Marks",
    "Sample",
    "Skipped",
    "as_source",
    "creatures",
    "digits",
    "read",
]


def as_source(images: Any) -> ImageSource | IterableSource:
    """Take images in whatever form they come.

    Args:
        images: an `ImageSource`; a folder or a picture's path; a tensor or array of images; a list of paths, PIL
            images, arrays or tensors; a torch or Hugging Face data set; or a stream of such items.

    Raises:
        InputError: none of these, or no images in it.

    Example:
        >>> import torch
        >>> len(as_source(torch.zeros(5, 3, 8, 8)))
        5
    """
    if isinstance(images, Images | ImageFolder | DatasetSource | IterableSource | Creatures):
        return images
    if isinstance(images, str | Path):
        return ImageFolder(images)
    if isinstance(images, Tensor | np.ndarray | list | tuple):
        return _from_values(images)
    if isinstance(images, Image.Image):
        raise InputError("`images` must be several images, got one PIL image. Put it in a list: [image].")
    if hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return _from_dataset(images)
    if isinstance(images, Iterable):
        return IterableSource(images)
    raise InputError(
        f"`images` must be a folder, images, or a data set of images, got {type(images).__name__}. See "
        "likethat.ImageFolder and likethat.Images."
    )


def _from_values(images: Any) -> ImageSource:
    if isinstance(images, list | tuple) and images and isinstance(images[0], tuple | dict):
        return DatasetSource(images)
    return Images(images)


def _from_dataset(images: Any) -> ImageSource:
    if len(images) and isinstance(images, ImageSource) and _gives_samples(images):
        return images
    return DatasetSource(images)


def _gives_samples(images: Any) -> bool:
    try:
        return isinstance(images[0], Sample)
    except Exception:
        # Whatever is wrong with item 0 is said when it is read, with its name.
        return False
