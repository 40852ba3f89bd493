"""Marks of PNG masks: a folder a part, or one mask an image whose numbers or colours are parts."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from likethat.errors import InputError
from likethat.sources.marks.documents import BrokenError, Reading, text_of
from likethat.sources.marks.frames import Frame
from likethat.sources.marks.mask_file import MaskFile
from likethat.sources.marks.records import NO_PART, Mark, MarkedImage, part_name

NAMES = "names.txt"
"""Parts' names, one a line, of masks whose pixels are numbers."""
LABEL_MAP = "labelmap.txt"
"""Parts' names and colours, as CVAT writes them: ``name:red,green,blue:parts:actions``."""

_CLASSES, _OBJECTS = "SegmentationClass", "SegmentationObject"  # CVAT's folders: by part, and by single object
_Parts = Callable[[str, MaskFile], Iterable[tuple[str, npt.NDArray[Any]]]]
_OTHER_PICTURES = (".bmp", ".gif", ".jpeg", ".jpg", ".tif", ".tiff", ".webp")


def masks_by_part(root: Path, files: Sequence[str], reading: Reading) -> list[MarkedImage]:
    """Read masks that lie in a folder named after their part.

    Args:
        root: the folder.
        files: paths below it, with slashes.
        reading: takes what is skipped.
    """
    found: dict[str, MarkedImage] = {}
    for file in _pngs(files, reading):
        image = file.partition("/")[2]
        if not image:
            reading.skip(file, f"lies in no folder named after its part, and there is no {NAMES} beside it")
            continue
        marked = _marked(root, file, reading, _whole, palette=False)
        if marked is not None:
            _join(found, _without_ending(image), marked, file, reading)
    return list(found.values())


def _whole(file: str, mask: MaskFile) -> list[tuple[str, npt.NDArray[Any]]]:
    return [(file.partition("/")[0], mask.mask)]


def _join(found: dict[str, MarkedImage], image: str, marked: MarkedImage, file: str, reading: Reading) -> None:
    """Put the mark of one mask to those of its image, whose masks must have one size."""
    first = found.get(image)
    if first is None:
        found[image] = replace(marked, image=image)
    elif (first.size, first.frame) == (marked.size, marked.frame):
        found[image] = replace(first, marks=first.marks + marked.marks)
    else:
        reading.skip(file, f"must have the size of the image's other masks, {first.size}, got {marked.size}")


def numbered_masks(root: Path, files: Sequence[str], reading: Reading) -> list[MarkedImage]:
    """Read masks whose pixels are numbers of the lines of ``names.txt``, from 1; 0 is the surroundings.

    Raises:
        InputError: ``names.txt`` is no text, or begins with the background.
    """
    names = [part_name(line) for line in _lines(root / NAMES)]
    if names and names[0].lower() in NO_PART:  # whose number is 0; does the next line then have 1 or 2?
        raise InputError(
            f"`path` must have a {NAMES} whose first line is the part of number 1, got {names[0]!r}. Leave that line "
            "out if number 0 is meant, else put an empty line in its place."
        )

    def parts(file: str, mask: MaskFile) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        values = _numbers(mask)
        for number in np.unique(values[mask.is_there & (values > 0)]).tolist():
            if number > len(names) or not names[number - 1]:
                reason = f"number {number} names no part: {NAMES} has {len(names)} lines"
                reading.skip(file, reason)
            else:
                yield names[number - 1], mask.is_there & (values == number)

    return _one_an_image(root, files, reading, parts, palette=True)


def coloured_masks(root: Path, files: Sequence[str], reading: Reading) -> list[MarkedImage]:
    """Read masks whose colours are parts, by ``labelmap.txt``.

    Raises:
        InputError: ``labelmap.txt`` does not read.
    """
    colours = _label_map(root / LABEL_MAP)
    names = list(colours.values())
    inside = [file for file in files if file.startswith(f"{_CLASSES}/")]
    below = [file for file in inside or files if not file.startswith(f"{_OBJECTS}/")]

    def parts(file: str, mask: MaskFile) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        packed = mask.values.astype(np.int64)
        is_numbered = packed.ndim == 2 and not all(colour in colours for colour in _greys(packed))
        if packed.ndim == 3:
            packed = packed @ (1 << np.array([16, 8, 0]))
        elif not is_numbered:
            packed = packed * 0x10101  # a shade is that of all three colours
        for number in np.unique(packed[mask.is_there]).tolist():
            name = colours.get(number) if not is_numbered else names[number] if number < len(names) else None
            if name is None and number:  # black that is not listed is the background
                shown = number if is_numbered else ", ".join(str(number >> shift & 255) for shift in (16, 8, 0))
                reason = f"{'number' if is_numbered else 'colour'} {shown} is in no line of {LABEL_MAP}"
                reading.skip(file, reason)
            elif name is not None and name.lower() not in NO_PART:
                yield name, mask.is_there & (packed == number)

    found = _one_an_image(root, below, reading, parts, palette=False, tool="CVAT")
    return [replace(one, image=str(one.image).removeprefix(f"{_CLASSES}/")) for one in found]


def _greys(values: npt.NDArray[np.int64]) -> list[int]:
    return [shade * 0x10101 for shade in np.unique(values).tolist() if shade]


def _label_map(path: Path) -> dict[int, str]:
    """Return names by colour, as one number each, in the order of the lines."""
    colours: dict[int, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line or line.startswith("#"):
            continue
        name, *rest = line.rsplit(":", 3)  # names may have colons
        bands = rest[0].split(",") if rest else []
        if len(rest) != 3 or len(bands) != 3 or not all(band.strip().isdecimal() and int(band) < 256 for band in bands):
            raise InputError(
                f"`path` must have a {LABEL_MAP} of name:red,green,blue:: in each line, got line {number}."
            )
        red, green, blue = (int(band) for band in bands)
        if (red << 16 | green << 8 | blue) in colours:
            raise InputError(f"`path` must have a {LABEL_MAP} with a colour a part, got that of line {number} twice.")
        colours[red << 16 | green << 8 | blue] = part_name(name)
    return colours


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in text_of(path.read_bytes()).splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"`path` must have a {path.name} in UTF-8 or UTF-16, got {path}: {error}.") from error


def _numbers(mask: MaskFile) -> npt.NDArray[Any]:
    """Return the numbers of a mask; grey colours are numbers, too."""
    if mask.values.ndim == 2:
        return mask.values.astype(np.int64)
    if (mask.values == mask.values[..., :1])[mask.is_there].all():
        return mask.values[..., 0].astype(np.int64)
    raise BrokenError("", f"holds colours, not numbers: give their names in a {LABEL_MAP}")


def _one_an_image(
    root: Path, files: Sequence[str], reading: Reading, parts: _Parts, *, palette: bool, tool: str = "masks"
) -> list[MarkedImage]:
    found = (_marked(root, file, reading, parts, palette=palette, tool=tool) for file in _pngs(files, reading))
    return [marked for marked in found if marked is not None and marked.marks]


def _marked(
    root: Path, file: str, reading: Reading, parts: _Parts, *, palette: bool, tool: str = "masks"
) -> MarkedImage | None:
    """Return the marks of one mask; None where it does not read."""
    marks = []
    try:
        with (root / file).open("rb") as stream:
            mask = MaskFile.read(stream, "", palette=palette)
        for name, pixels in parts(file, mask):
            part, at = reading.cut(pixels, "")
            marks.append(Mark(name=part_name(name), mask=part, at=at))
    except (BrokenError, OSError) as error:
        reading.skip(file, getattr(error, "strerror", None) or str(error))
        return None
    frame: Frame | None = "upright" if mask.is_turned else None
    return MarkedImage(image=_without_ending(file), marks=tuple(marks), size=mask.size, tool=tool, frame=frame)


def _without_ending(file: str) -> str:
    return file[: -len(".png")] if file.lower().endswith(".png") else file


def _pngs(files: Sequence[str], reading: Reading) -> Iterator[str]:
    for file in files:
        if file.lower().endswith(".png"):
            yield file
        elif file.lower().endswith(_OTHER_PICTURES):
            reading.skip(file, "is no PNG: other formats change masks, or are pictures")
