"""What is truly where in a drawn picture, looked up once an image."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy.typing import NDArray

from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.explanations import Box
from likethat.sources import Sample

SURROUNDINGS = "surroundings"
_LEAST_COVER = 0.1  # of a box: with less of any part in it, it shows the surroundings


class DrawnSample(Protocol):
    """A picture with the visible pixels of each part."""

    @property
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """Visible pixels by part; no pixel belongs to two."""
        ...


@runtime_checkable
class EditableSource(Protocol):
    """A drawn source that can leave a part out, as `likethat.creatures` can."""

    def without(self, index: int, part: str, /) -> Sample:
        """Return picture `index` drawn without a part; raise `InputError` where it must stay."""
        ...


class DrawnSource(Protocol):
    """A source whose pictures' parts are known, such as `likethat.creatures`."""

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def __getitem__(self, index: int, /) -> DrawnSample:
        """Return picture `index`."""
        ...


@in_own_session
def part_at(part_map: UInt8[NDArray[np.uint8], "height width"], box: Box, names: Sequence[str]) -> str:
    """Return the part that fills most of a box, or ``"surroundings"`` where parts fill less than a tenth of it.

    Args:
        part_map: 0 for surroundings, 1 + index of the part elsewhere.
        box: left, top, right, bottom; right and bottom are outside.
        names: of the parts.

    Example:
        >>> part_at(np.array([[0, 1], [2, 2]], dtype=np.uint8), (0, 0, 2, 2), ["eye", "wing"])
        'wing'
    """
    left, top, right, bottom = box
    counts = np.bincount(part_map[top:bottom, left:right].ravel(), minlength=len(names) + 1)
    if counts[1:].sum() < _LEAST_COVER * max(counts.sum(), 1):
        return SURROUNDINGS
    return names[int(counts[1:].argmax())]


class PartTruth:
    """The true parts of a drawn source; every picture is drawn at most once.

    Args:
        source: a drawn source.

    Raises:
        InputError: the source does not know its parts.
    """

    def __init__(self, source: DrawnSource) -> None:
        if not len(source) or not hasattr(source[0], "masks"):
            raise InputError(
                f"`source` must know its parts, as likethat.creatures does, got {type(source).__name__}. Measures "
                "against the truth need drawn pictures."
            )
        self._source = source
        self.names: tuple[str, ...] = tuple(source[0].masks)
        self._maps: dict[int, NDArray[np.uint8]] = {}

    def part_map(self, index: int) -> UInt8[NDArray[np.uint8], "height width"]:
        """Return picture `index` as numbers of parts: 0 for surroundings, else 1 + the part's place in `names`."""
        if index not in self._maps:
            masks = self._source[index].masks
            unknown = [name for name in masks if name not in self.names]
            self.names += tuple(unknown)
            parts = np.zeros(next(iter(masks.values())).shape, dtype=np.uint8)
            for name, mask in masks.items():
                parts[mask] = 1 + self.names.index(name)
            self._maps[index] = parts
        return self._maps[index]

    def masks(self, index: int) -> dict[str, Bool[NDArray[np.bool_], "height width"]]:
        """Return the visible pixels of each part that is visible in picture `index`."""
        part_map = self.part_map(index)
        return {self.names[place - 1]: part_map == place for place in np.unique(part_map).tolist() if place}

    def at(self, index: int, box: Box) -> str:
        """Return the part in a box of picture `index`."""
        return part_at(self.part_map(index), box, self.names)

    def centres(self, index: int) -> Float[NDArray[np.float32], "part 2"]:
        """Return the centre (x, y) of each part's visible pixels, NaN where the part is not visible."""
        return _centres(self.part_map(index), len(self.names))

    def centres_of(self, indices: Sequence[int]) -> Float[NDArray[np.float32], "picture part 2"]:
        """Return the centres in several pictures, which may wear different parts."""
        part_maps = {index: self.part_map(index) for index in indices}  # all first: they may name further parts
        centres = {index: _centres(part_map, len(self.names)) for index, part_map in part_maps.items()}
        return np.stack([centres[index] for index in indices])


def _centres(part_map: NDArray[np.uint8], n_parts: int) -> NDArray[np.float32]:
    centres = np.full((n_parts, 2), np.nan, dtype=np.float32)
    for place in range(n_parts):
        rows, columns = np.nonzero(part_map == place + 1)
        if len(rows):
            centres[place] = columns.mean(), rows.mean()
    return centres
