"""Where given inputs come from: folders, arrays, data sets, drawn creatures and handwritten digits."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    default_collate,
    default_convert,
)

from likethat.errors import InputError
from likethat.sources.arrays import Images
from likethat.sources.base import ImageSource, Sample, Skipped
from likethat.sources.creatures import Creatures, CreatureSample, creatures
from likethat.sources.datasets import DatasetSource, IterableSource
from likethat.sources.digits import digits
from likethat.sources.folder import ImageFolder
from likethat.sources.marks.marks import Marks
from likethat.sources.marks.records import Mark, MarkedImage
from likethat.sources.reading import Batch, read
from likethat.sources.sentences import sentences
from likethat.sources.shards.places import name_shards
from likethat.sources.shards.shards import Shards

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
    "Shards",
    "Skipped",
    "as_source",
    "creatures",
    "digits",
    "read",
    "sentences",
]


def as_source(images: Any) -> ImageSource | IterableSource:
    """Take images in whatever form they come.

    Args:
        images: an `ImageSource`; a folder or a picture's path; shards, as `Shards` takes them; a tensor or array of
            images; a list of paths, PIL images, arrays or tensors, or of (image, label); a torch or Hugging Face data
            set; a stream of such items (a generator, an iterable data set); or a `DataLoader`, whose data set is taken
            in its own order.

    Raises:
        InputError: none of these, or no images in it.

    Example:
        >>> import torch
        >>> len(as_source(torch.zeros(5, 3, 8, 8)))
        5
    """
    if isinstance(images, Images | ImageFolder | Shards | DatasetSource | IterableSource | Creatures):
        return images
    if hasattr(images, "signature") and isinstance(images, ImageSource):
        return images  # numbered images that say themselves which they are, such as `likethat.Generated`
    if isinstance(images, str | os.PathLike) or name_shards(images):
        return Shards(images) if name_shards(images) and not _is_folder(images) else ImageFolder(images)
    if isinstance(images, Tensor | np.ndarray | list | tuple):
        return _from_values(images)
    images = _dataset_of(images) if isinstance(images, DataLoader) else images
    _refuse(images)
    is_stream = isinstance(images, IterableDataset)  # it may have a length, and its items only raise
    if not is_stream and hasattr(images, "__len__") and hasattr(images, "__getitem__"):
        return _from_dataset(images)
    if isinstance(images, Iterable):
        return IterableSource(images)
    raise InputError(
        f"`images` must be a folder, images, or a data set of images, got {type(images).__name__}. See "
        "likethat.ImageFolder and likethat.Images."
    )


def _is_folder(images: Any) -> bool:
    """Whether it is a folder, which may be called as a shard is."""
    return isinstance(images, str | os.PathLike) and Path(images).is_dir()


def _dataset_of(loader: "DataLoader[Any]") -> Any:
    """Return what a loader loads, in order: shuffling and batches do not matter here, a choice or a change does."""
    data: Any = loader.dataset
    if isinstance(data, IterableDataset):
        return data
    why = ""
    if loader.batch_sampler is not None and type(loader.batch_sampler) is not BatchSampler:
        why = "makes batches of its own"
    elif not isinstance(loader.sampler, SequentialSampler | RandomSampler) or len(loader.sampler) != len(data):
        why = f"chooses items by a {type(loader.sampler).__name__}"
    elif loader.collate_fn is not default_collate and loader.collate_fn is not default_convert:
        why = "has a collate_fn of its own"
    if why:
        raise InputError(
            f"`images` must be a folder, images, or a data set of images, got a DataLoader that {why}. Give the data "
            "set, or torch.utils.data.Subset(data_set, indices)."
        )
    return data


def _refuse(images: Any) -> None:
    """Say what to do instead, for what looks like a source and is none."""
    instead = None
    if isinstance(images, Image.Image):
        raise InputError("`images` must be several images, got one PIL image. Put it in a list: [image].")
    if isinstance(images, Mapping):
        keys = ", ".join(repr(key) for key in list(images)[:6])
        instead = f"Choose one of its entries: {keys}"
    elif isinstance(images, bytes | bytearray):
        instead = "Put the bytes of encoded pictures in a list"
    elif isinstance(images, set | frozenset):
        instead = "A set has no order; give a sorted list"
    elif hasattr(images, "iloc"):
        instead = "Give a list of the paths: list(frame['path'])"
    if instead:
        raise InputError(
            f"`images` must be a folder, images, or a data set of images, got {type(images).__name__}. {instead}."
        )


def _from_values(images: Any) -> ImageSource:
    if isinstance(images, list | tuple) and images and isinstance(images[0], Sample | Mapping | tuple | list):
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
