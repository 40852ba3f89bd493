"""Records of marks: one part on one image, and all of one image."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from likethat.sources.marks.frames import Frame, Size, fitting_frames, stored_size, turned
from likethat.sources.marks.pieces import SAME_FROM, Mask, Piece, alike, of_box, of_disc, of_mask, of_outlines

Problems = list[tuple[str, str]]

SURROUNDINGS = "surroundings"
"""What is no part of the object; unmarked pixels belong to it."""

NO_PART = {"background", "_background_", "__background__", "surroundings", "bg"}
"""Names of what is no part, in small letters."""

_MOST_PIXELS = 2**31  # of all marks of one image together, a byte each


def part_name(name: object) -> str:
    """Return a part's name as it is compared: one line of composed Unicode without spaces around."""
    text = str(name).encode("utf-8", "replace").decode("utf-8")  # JSON may hold half of a surrogate pair
    return " ".join(unicodedata.normalize("NFC", text).split())


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """One part marked on one image; exactly one of the shapes is given, in pixels of the image as it is on disk.

    Attributes:
        name: of the part.
        mask: (height, width).
        at: left and top of the mask's first pixel, where it is cut out of a larger one.
        polygons: outlines, each (point, 2) of x and y.
        box: left, top, right, bottom.
        point: x and y.
    """

    name: str
    mask: Mask | None = None
    at: tuple[int, int] = (0, 0)
    polygons: Sequence[npt.ArrayLike] = ()
    box: tuple[float, float, float, float] | None = None
    point: tuple[float, float] | None = None

    def drawn(self, height: int, width: int, *, size: Size | None = None) -> Mask:
        """Return the mark's pixels on a picture of that size; nothing where it lies outside.

        Args:
            height: of the picture.
            width: of the picture.
            size: height and width that the mark refers to; the mask's own, or the picture's, when None.
        """
        pixels = np.zeros((height, width), dtype=bool)
        piece = _piece(self, (height, width), size)
        if piece is not None:
            pixels[piece.place] = piece.pixels
        return pixels


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkedImage:
    """The marks of one image.

    Attributes:
        image: its name (a path, or the end of one), or its number in the source.
        marks: of its parts.
        size: height and width that the marks refer to; the image's own when None.
        also: other names that it may have, for when no image is called the first.
        tool: what wrote the marks: a key of `mark_frames.CONVENTIONS`.
        frame: which way up they were drawn, where the file says so.
    """

    image: str | int
    marks: tuple[Mark, ...]
    size: Size | None = None
    also: tuple[str, ...] = ()
    tool: str = ""
    frame: Frame | None = None

    @property
    def has_only_points(self) -> bool:
        """Whether nothing says where a part ends: then unmarked pixels may belong to a part."""
        return all(mark.point is not None for mark in self.marks)

    @property
    def stated(self) -> Size | None:
        """The size that the marks refer to: as it is given, or that of the first mask."""
        masks = (mark.mask.shape for mark in self.marks if mark.mask is not None)
        return self.size or next(((height, width) for height, width in masks), None)

    def drawn(
        self, height: int, width: int, problems: Problems, *, orientation: int = 1, frame: Frame = "upright"
    ) -> dict[str, Mask]:
        """Return each part's pixels, no pixel in two: where marks overlap, the smaller is on top.

        What cannot be used is left out, with a sentence in `problems`.

        Args:
            height: of the picture as it is shown.
            width: of the picture as it is shown.
            problems: takes (image, sentence).
            orientation: by which the picture's EXIF turns it, 1 to 8.
            frame: which way up the marks were drawn.
        """
        frame = "upright" if orientation == 1 else frame
        shape = stored_size((height, width), orientation) if frame == "stored" else (height, width)
        pieces = self._agreeing(self._pieces(shape, (height, width), orientation, frame, problems), problems)
        label = np.full(shape, -1, dtype=np.int32)
        numbers = {name: number for number, name in enumerate(dict.fromkeys(name for name, _ in pieces))}
        if len(numbers) * label.size > _MOST_PIXELS:
            problems.append((self._called, f"its {len(numbers)} parts are too many for a picture of that size"))
            return {}
        for name, piece in sorted(pieces, key=lambda pair: -pair[1].n_pixels):
            label[piece.place][piece.pixels] = numbers[name]
        if frame == "stored":
            label = turned(label, orientation)
        return {name: label == number for name, number in numbers.items()}

    def _pieces(
        self, shape: Size, upright: Size, orientation: int, frame: Frame, problems: Problems
    ) -> list[tuple[str, Piece]]:
        """Draw the marks one by one."""
        if self.size is not None and frame not in fitting_frames(self.size, upright, orientation):
            problems.append((self._called, _other_aspect("marks", self.size, shape, frame)))
            return []
        pieces: list[tuple[str, Piece]] = []
        room = _MOST_PIXELS
        for mark in self.marks:
            name = part_name(mark.name)
            own = None if mark.mask is None or self.size is not None else (mark.mask.shape[0], mark.mask.shape[1])
            if not name:
                problems.append((self._called, "a mark names no part; it was left out"))
                continue
            if own is not None and frame not in fitting_frames(own, upright, orientation):
                problems.append((self._called, _other_aspect(f"mask of {name!r}", own, shape, frame)))
                continue
            piece = _piece(mark, shape, self.size)
            if piece is None:
                problems.append((self._called, f"the mark of {name!r} lies outside the image or is empty"))
                continue
            pieces.append((SURROUNDINGS if name.lower() in NO_PART else name, piece))
            room -= piece.pixels.size
            if room < 0:
                problems.append((self._called, f"its {len(self.marks)} marks are too many for a picture of that size"))
                return []
        return pieces

    def _agreeing(self, pieces: list[tuple[str, Piece]], problems: Problems) -> list[tuple[str, Piece]]:
        against: set[int] = set()
        for later, candidates in alike([piece for _, piece in pieces], [name for name, _ in pieces]):
            name, piece = pieces[later]
            same = next((one for one in candidates if piece.overlap(pieces[one][1]) > SAME_FROM), None)
            if same is not None:
                against |= {later, same}
                reason = f"the same place is marked as {pieces[same][0]!r} and as {name!r}; both were left out"
                problems.append((self._called, reason))
        return [piece for place, piece in enumerate(pieces) if place not in against]

    @property
    def _called(self) -> str:
        return self.image if isinstance(self.image, str) else f"image {self.image}"


def _other_aspect(what: str, stated: Size, shape: Size, frame: Frame) -> str:
    return (
        f"the {what} must be of the picture's aspect, got {stated[1]} x {stated[0]} pixels for a picture of "
        f"{shape[1]} x {shape[0]}{' as its file stores it' if frame == 'stored' else ''}; it was left out"
    )


def _piece(mark: Mark, shape: Size, size: Size | None) -> Piece | None:
    """Draw a mark that refers to a picture of `size` on one of `shape`; None where nothing of it is there."""
    if mark.mask is not None:
        return of_mask(mark.mask, mark.at, shape, size or (mark.mask.shape[0], mark.mask.shape[1]))
    height, width = size or shape
    scale = np.array([shape[1] / width, shape[0] / height])
    if mark.polygons:
        return of_outlines([np.asarray(one, dtype=float).reshape(-1, 2) * scale for one in mark.polygons], shape)
    if mark.box is not None:
        return of_box(np.array(mark.box, dtype=float).reshape(2, 2) * scale, shape)
    return None if mark.point is None else of_disc(np.array(mark.point, dtype=float) * scale, shape)
