"""The cells of each class's images: what its parts are learned from."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._class_names import match_classes
from likethat._options import shown
from likethat.errors import InputError
from likethat.features import Features

_BLOCK = 2**21  # values factorised together: 8 MiB in float32, which stays near the processor
_BLOCK_ON_GPU = 2**29  # 2 GiB in float32: keeps a card busy, and fits any


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassCells:
    """Feature vectors of one class.

    Attributes:
        target: the class.
        cells: (cell, channel), of all cells of its images whose maps are held, or of a random sample of them.
        images: (cell,) rows of the features that they come from.
        places: (cell,) flat index on the feature map.
        rows: rows of the features of all its images, held or not.
        n_all: cells there were to sample from.
    """

    target: int
    cells: Float[Tensor, "cell channel"]
    images: Int[Tensor, " cell"]
    places: Int[Tensor, " cell"]
    rows: Int[Tensor, " image"]
    n_all: int

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def n_images(self) -> int:
        """How many images the cells come from."""
        return len(set(self.images.tolist()))

    def halves(self) -> tuple[Tensor, Tensor]:
        """Return which cells belong to the first, third, ... image, and which to the others."""
        order = torch.searchsorted(torch.tensor(sorted(set(self.images.tolist()))), self.images)
        return order % 2 == 0, order % 2 == 1


def classes_of(features: Features, labels: object, class_names: Sequence[str]) -> Int[Tensor, " image"]:
    """Return the class whose parts each image is for; -1 for none.

    Args:
        features: of the images.
        labels: None for the source's labels, or the model's predictions where it has none; ``"given"`` for the
            source's labels alone; ``"predicted"``; or one class an item of the source, by index or by name.
        class_names: of the model.

    Raises:
        InputError: labels of another length or outside the classes.
    """
    n_classes = len(class_names)
    beyond = features.data.get("labels", {}).get("beyond")
    if beyond is not None and (labels is None or (isinstance(labels, str) and labels == "given")):
        raise _no_classes(n_classes, f"up to {beyond} from the images")
    if labels is None:
        chosen = features.labels if bool((features.labels >= 0).any()) else features.predicted
    elif isinstance(labels, str):
        chosen = features.predicted if labels == "predicted" else _of_source(features, labels)
    else:
        chosen = _given(features, labels, class_names)
    if bool((chosen >= n_classes).any()) or bool((chosen < -1).any()):
        raise _no_classes(n_classes, f"{int(chosen.min())} to {int(chosen.max())}")
    return chosen


def _no_classes(n_classes: int, got: str) -> InputError:
    return InputError(
        f"`labels` must be from 0 to {n_classes - 1} (-1 for none), got {got}. Give the model's own class indices or "
        "names, or labels='predicted'."
    )


def _of_source(features: Features, labels: str) -> Tensor:
    """Return the source's labels, where it has any that are classes of the model.

    Raises:
        InputError: another word, or no such labels.
    """
    if labels != "given":
        raise InputError(f"`labels` must be None, 'given', 'predicted' or one class an image, got {shown(labels)}.")
    if not bool((features.labels >= 0).any()):
        why = features.remarks[0] if features.data.get("labels") and features.remarks else "The images have none."
        raise InputError(
            f"`labels` must be 'predicted' or one class an image where the source's labels are no classes of the "
            f"model, got 'given'. {why}"
        )
    return features.labels


def _by_name(labels: Any, class_names: Sequence[str]) -> Any:
    """Return the model's class indices of names, -1 for none; anything else as it is.

    Raises:
        InputError: a name that is no class of the model, or could be several.
    """
    names = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(names, list | tuple) or not any(isinstance(name, str) for name in names):
        return labels
    given = sorted({name for name in names if isinstance(name, str)})
    match = match_classes(given, class_names)
    unknown = [name for name in given if name not in match.partners]
    if unknown or match.assumed:
        raise InputError(
            f"`labels` must be classes of the model where they are names, got {(unknown or given)[0]!r}, which is none "
            f"of {', '.join(map(repr, class_names[:5]))}{', …' if len(class_names) > 5 else ''}."
        )
    return [match.partners[name] if isinstance(name, str) else -1 if name is None else name for name in names]


def _given(features: Features, labels: Any, class_names: Sequence[str]) -> Tensor:
    labels = _by_name(labels, class_names)
    try:
        chosen = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"`labels` must be None, 'given', 'predicted' or one class an image, got {type(labels).__name__}."
        ) from error
    needed = int(features.indices.max()) + 1
    if chosen.ndim != 1 or len(chosen) < needed or chosen.is_floating_point():
        raise InputError(
            f"`labels` must be one class index an image, at least {needed}, got {chosen.dtype} of shape "
            f"{tuple(chosen.shape)}."
        )
    return chosen.long()[features.indices]


def cells_of(features: Features, classes: Tensor, target: int, *, limit: int, seed: int) -> ClassCells:
    """Return the cells of a class's images; past `limit`, that many drawn at random."""
    slots = (classes[features.kept] == target).nonzero()[:, 0]
    n_cells = features.maps.shape[2]
    n_all = len(slots) * n_cells
    chosen = torch.arange(n_all)
    if n_all > limit:
        chosen = torch.randperm(n_all, generator=seeded(seed, target, 1))[:limit].sort().values
    image, place = chosen // n_cells, chosen % n_cells
    if n_all > limit:
        cells = features.maps[slots[image], :, place]
    else:
        cells = features.maps[slots].mT.reshape(n_all, features.n_channels)
    return ClassCells(
        target=target,
        cells=cells,
        images=features.kept[slots[image]],
        places=place,
        rows=(classes == target).nonzero()[:, 0],
        n_all=n_all,
    )


def blocks(
    members: Iterable[ClassCells], count: Callable[[ClassCells], int], *, on_gpu: bool
) -> Iterator[list[ClassCells]]:
    """Yield classes to factorise together, in order: neighbours of the same count, as many as fit; at least one."""
    room = _BLOCK_ON_GPU if on_gpu else _BLOCK
    block: list[ClassCells] = []
    longest = 0
    for member in members:
        longest = max(longest, len(member))
        is_full = longest * (len(block) + 1) * member.cells.shape[1] > room
        if block and (is_full or count(member) != count(block[0])):
            yield block
            block, longest = [], len(member)
        block.append(member)
    if block:
        yield block


def is_signed(maps: Float[Tensor, "map channel cell"]) -> bool:
    """Return whether maps hold negative numbers, beyond rounding; without a copy of them, which are most of a fit."""
    low, high = (float(end) for end in torch.aminmax(maps))
    return low < -1e-6 * max(high, -low)


def seeded(seed: int, target: int, purpose: int) -> torch.Generator:
    """Return random numbers of a class's own: they do not depend on the classes beside it."""
    return torch.Generator().manual_seed((seed * 1_000_003 + target) * 11 + purpose)
