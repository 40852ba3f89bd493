"""An endless, exactly repeatable picture book of creatures."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from likethat._calls import public
from likethat._checks import check_count, check_index, check_seed
from likethat._options import check_number, shown
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.sources.base import Sample
from likethat.sources.creatures.classes import CLASS_NAMES
from likethat.sources.creatures.creature import Creature, sample_creature
from likethat.sources.creatures.drawing import draw, masks, pixels

_LEAST_COVER = 0.1  # of a box: with less of any part in it, it shows the surroundings


@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False)
class CreatureSample(Sample):
    """A drawn creature with what is true about it.

    Attributes:
        creature: the description it was drawn from.
    """

    creature: Creature

    @property
    def parts(self) -> dict[str, str]:
        """The variant of each part that is there."""
        return self.creature.parts

    @cached_property
    def masks(self) -> dict[str, npt.NDArray[np.bool_]]:
        """The visible pixels of each part that is there, (size, size); no pixel belongs to two."""
        return masks(self.creature, self.image.shape[-1])


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False)
class Creatures:
    """A source of drawn birds and beasts. Item *i* depends on the seed and *i* alone, whatever was read before.

    Attributes:
        n: number of pictures.
        seed: every seed is another picture book.
        size: pixels along a side.
        removed_parts: probability that a picture lacks one random part.
        class_names: name of each class, by index.

    Example:
        >>> book = creatures(n=48, seed=0)
        >>> sample = book[5]
        >>> book.class_names[sample.label] == sample.creature.class_name
        True
        >>> bald = book.without(5, "crown")
        >>> bool((bald.image == sample.image).all(0)[~sample.masks["crown"]].float().mean() > 0.95)
        True
    """

    n: int
    seed: int = 0
    size: int = 96
    removed_parts: float = 0.0
    class_names: tuple[str, ...] = field(default=CLASS_NAMES, init=False)

    def __post_init__(self) -> None:
        check_count(self.n, name="n")
        check_seed(self.seed)
        check_count(self.size, name="size", minimum=16)
        check_number(self.removed_parts, name="removed_parts", high=1.0)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int, /) -> CreatureSample:
        return self._sample(self.creature(index), index)

    def label(self, index: int) -> int:
        """Return the class of item `index`, without drawing it; items 0 to 23, 24 to 47, ... are one of each."""
        block, place = divmod(self._checked(index), len(CLASS_NAMES))
        order = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 0, block])))
        return int(order.permutation(len(CLASS_NAMES))[place])

    def creature(self, index: int) -> Creature:
        """Return the description of item `index`, without drawing it."""
        index = self._checked(index)
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, 1, index])))
        return sample_creature(self.label(index), rng, removed_parts=self.removed_parts)

    def without(self, index: int, part: str) -> CreatureSample:
        """Return item `index` redrawn with one part left out; pixels that do not show the part stay as they were.

        Raises:
            InputError: no removable part of that name.
        """
        return self._sample(self.creature(index).without(part), index)

    def with_part(self, index: int, part: str, variant: str) -> CreatureSample:
        """Return item `index` redrawn with one part of another variant; all other pixels stay as they were.

        Raises:
            InputError: no such part, or it has no such variant.
        """
        return self._sample(self.creature(index).swap(part, variant), index)

    def true_part(self, index: int, box: tuple[int, int, int, int]) -> str | None:
        """Return the part that fills most of a box, or None where parts fill less than a tenth of it.

        Args:
            index: the item.
            box: left, top, right, bottom, in pixels of the drawn picture; right and bottom are outside.

        Raises:
            InputError: the box is empty or leaves the picture.
        """
        shares = self.part_shares(index, box)
        if sum(shares.values()) < _LEAST_COVER:
            return None
        return max(shares, key=lambda part: shares[part])

    def part_shares(self, index: int, box: tuple[int, int, int, int]) -> dict[str, float]:
        """Return the share of a box that each part fills; what is missing to 1 is surroundings.

        Raises:
            InputError: the box is empty or leaves the picture.
        """
        corners = list(box) if isinstance(box, tuple | list) and len(box) == 4 else [-1]
        if not all(hasattr(corner, "__index__") for corner in corners) or len(corners) != 4:
            raise InputError(f"`box` must be four whole numbers (left, top, right, bottom), got {shown(box)}.")
        left, top, right, bottom = corners
        if not (0 <= left < right <= self.size and 0 <= top < bottom <= self.size):
            raise InputError(
                f"`box` must be (left, top, right, bottom) inside {self.size} x {self.size} pixels, got {shown(box)}."
            )
        visible = _masks(self.creature(index), self.size)
        return {part: float(mask[top:bottom, left:right].mean()) for part, mask in visible.items()}

    def tensors(self) -> tuple[UInt8[Tensor, "n 3 size size"], Int[Tensor, " n"]]:
        """Draw all pictures at once.

        Returns:
            The pictures as bytes (divide by 255 for [0, 1]) and the class indices.
        """
        images = torch.empty(self.n, 3, self.size, self.size, dtype=torch.uint8)
        labels = torch.empty(self.n, dtype=torch.int64)
        for index in range(self.n):
            creature = self.creature(index)
            images[index] = torch.from_numpy(pixels(creature, self.size)).permute(2, 0, 1)
            labels[index] = creature.label
        return images, labels

    def _sample(self, creature: Creature, index: int) -> CreatureSample:
        name = f"creature {self._checked(index)}"
        return CreatureSample(image=draw(creature, self.size), name=name, label=creature.label, creature=creature)

    def _checked(self, index: int) -> int:
        return check_index(index, self.n, of="pictures")


@lru_cache(maxsize=64)
def _masks(creature: Creature, size: int) -> dict[str, npt.NDArray[np.bool_]]:
    """Return the masks of a picture that was asked about a moment ago without drawing it again."""
    return masks(creature, size)


@public
@in_own_session
def creatures(n: int = 4000, *, seed: int = 0, size: int = 96, removed_parts: float = 0.0) -> Creatures:
    """Open a picture book of drawn birds and beasts, of 24 classes told apart by their parts.

    Args:
        n: number of pictures, as many as you like: they are drawn when read. Classes are balanced.
        seed: every seed is another picture book.
        size: pixels along a side.
        removed_parts: probability that a picture lacks one random part; its label stays.

    Returns:
        The source.

    Raises:
        InputError: a count or probability out of range.

    Example:
        >>> book = creatures(n=3, seed=7)
        >>> len(book), book[0].image.shape
        (3, torch.Size([3, 96, 96]))
        >>> sorted(book[0].masks)
        ['body', 'crown', 'eye', 'head', 'legs', 'mouth', 'tail', 'wing']
    """
    return Creatures(n=n, seed=seed, size=size, removed_parts=removed_parts)
