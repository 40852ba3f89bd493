"""Marks: where the user has seen a part, on a few images, as masks, polygons, boxes or points."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from likethat._calls import public
from likethat._checks import check_choice, check_count, check_seed
from likethat._options import check_path, check_text, shown
from likethat._session import in_own_session
from likethat.errors import InputError, NonFiniteError
from likethat.sources.marks.documents import is_of_sides
from likethat.sources.marks.files import read_marks
from likethat.sources.marks.frames import Frame
from likethat.sources.marks.records import NO_PART, Mark, MarkedImage, part_name


class _Drawn(Protocol):
    """A source that knows where its parts are: its samples have masks."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False)
class Marks:
    """Parts marked on a few images of a source, for `PartPrototypes(algorithm="named")`.

    Attributes:
        images: marks by image.
        skipped: (name, reason) of what in the files could not be used.
        frame: which way up the marks were drawn, where you know it: ``"upright"``, as pictures are shown, or
            ``"stored"``, as their files hold them. None: by the sizes that are stated, and by what each tool does.

    Example:
        >>> marks = Marks.of({"robin.jpg": {"beak": (10, 20, 30, 40), "eye": (25, 18)}})
        >>> marks.names
        ('beak', 'eye')
    """

    images: tuple[MarkedImage, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    frame: Frame | None = None

    @classmethod
    def of(cls, marks: Mapping[str | int, Mapping[str, Any]], *, frame: Frame | None = None) -> "Marks":
        """Take marks from memory: by image name or number, then by part.

        A mark is a mask (height, width), a box (left, top, right, bottom), a point (x, y), or a list of points (an
        outline), in pixels of the image as it is on disk, or as `frame` says.

        Raises:
            InputError: something else.
        """
        if not isinstance(marks, Mapping) or not all(isinstance(parts, Mapping) for parts in marks.values()):
            raise InputError(
                "`marks` must be a dictionary of images and of their parts, as in {'robin.jpg': {'eye': (25, 18)}}, "
                f"got {shown(marks)}."
            )
        for name in marks:
            if not isinstance(name, str) and (isinstance(name, bool) or not hasattr(name, "__index__")):
                raise InputError(f"`marks` must name images by text or number, got {shown(name)}.")
        return cls(
            frame=_checked(frame),
            images=tuple(
                MarkedImage(image=image, marks=tuple(_as_mark(name, value) for name, value in parts.items()))
                for image, parts in marks.items()
            ),
        )

    @classmethod
    def from_truth(cls, source: _Drawn, n: int = 20, *, seed: int = 0) -> "Marks":
        """Mark the true parts of `n` images of a drawn source (`likethat.creatures`), chosen at random."""
        n, rng = check_count(n, name="n"), torch.Generator().manual_seed(check_seed(seed))
        drawn = hasattr(source, "__getitem__") and hasattr(source, "__len__") and len(source) > 0
        if not drawn or not isinstance(getattr(source[0], "masks", None), Mapping):
            raise InputError(f"`source` must be drawn with its parts, as likethat.creatures is, got {shown(source)}.")
        order = torch.randperm(len(source), generator=rng)[:n].sort().values
        return cls.of({int(index): dict(source[int(index)].masks) for index in order})

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, frame: Frame | None = None) -> "Marks":
        """Read marks: a COCO or LabelMe JSON file, a folder of such files, or a folder of PNG masks.

        See `likethat.sources.marks.files` for the layouts. Pictures with an EXIF orientation are shown turned. Whether
        marks were drawn on the picture as it is shown or as it is stored is told by the sizes that the file states;
        where these fit both, by the file's other pictures, else by what the tool does: COCO, LabelMe and CVAT draw on
        what is shown, PNG masks are taken to fit what is stored. The bank's notes say where that was assumed; `frame`
        says it for sure.

        Raises:
            InputError: nothing there, or in no format that is known.
        """
        images, skipped = read_marks(check_path(path))
        return cls(images=tuple(images), skipped=tuple(skipped), frame=_checked(frame))

    @property
    def names(self) -> tuple[str, ...]:
        """The parts that are marked, by name, surroundings left out."""
        names = {part_name(mark.name) for image in self.images for mark in image.marks}
        return tuple(sorted(name for name in names if name and name.lower() not in NO_PART))

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[MarkedImage]:
        return iter(self.images)


def _checked(frame: Frame | None) -> Frame | None:
    if frame is not None:
        check_choice(frame, name="frame", choices=("upright", "stored"))
    return frame


def _as_mark(name: str, value: Any) -> Mark:
    check_text(name, name="the name of a part")
    array = _numbers(name, value)
    if array.ndim == 2 and array.shape[1] == 2 and array.dtype != bool and len(array) >= 3:
        _check_pixels(name, array)
        return Mark(name=name, polygons=[array])
    if array.ndim == 2 and array.size:
        if array.min() < 0 or not (array == np.round(array)).all():
            raise InputError(
                f"the mark of {name!r} must be a mask of True and False, or of numbers that are 0 outside, got "
                f"{array.min():.4g} to {array.max():.4g}. Say where it is: mask > 0.5."
            )
        return Mark(name=name, mask=array.astype(bool))
    if array.shape == (4,):
        _check_pixels(name, array)
        left, top, right, bottom = (float(number) for number in array)
        return Mark(name=name, box=(left, top, right, bottom))
    if array.shape == (2,):
        return Mark(name=name, point=(float(array[0]), float(array[1])))
    raise InputError(_wanted(name, f"shape {array.shape}"))


def _numbers(name: str, value: Any) -> npt.NDArray[Any]:
    """Return a mark's numbers, finite and all there."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg() if not value.is_meta else None
    try:
        array = np.asarray(value)
        if np.ma.is_masked(value) or array.dtype.kind == "c":
            raise TypeError
        if array.dtype.kind not in "bui":
            array = array.astype(float)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(_wanted(name, type(value).__name__)) from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise NonFiniteError(f"the mark of {name!r} must be finite, got NaN or infinity.")
    return array


def _check_pixels(name: str, array: npt.NDArray[Any]) -> None:
    if is_of_sides(array) or (array.ndim == 2 and array.max() <= 1 and array.min() >= 0):
        raise InputError(
            f"the mark of {name!r} must be in pixels, got numbers from 0 to 1, as shares of the picture's sides are or "
            "as a mask has. Multiply by width and height; give a mask as True and False."
        )


def _wanted(name: str, got: str) -> str:
    return (
        f"the mark of {name!r} must be a mask (height, width), a box (left, top, right, bottom), a point (x, y) or an "
        f"outline (point, 2), got {got}."
    )
