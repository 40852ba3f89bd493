"""Which picture each mark is on, and which way up it was drawn."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from likethat.errors import UnreadableImageError
from likethat.features import Features
from likethat.sources.base import ImageSource
from likethat.sources.marks.frames import CONVENTIONS, Frame, Size, fitting_frames, stored_size
from likethat.sources.marks.marks import Marks
from likethat.sources.marks.names import Names, slashed
from likethat.sources.marks.records import MarkedImage
from likethat.sources.orientation import orientation_of

Skips = list[tuple[str, str]]

_NOUN = {"": "marks from memory", "masks": "PNG masks"}


@dataclass(kw_only=True, eq=False)
class MarkedPicture:
    """One marked picture.

    Attributes:
        row: of the features.
        marked: what is marked on it.
        size: height and width of the picture as it is shown.
        orientation: by which its EXIF turned it, 1 to 8.
        frame: which way up the marks were drawn; None until that is decided, or where no size fits.
        fitting: which ways up fit the sizes that are stated.
    """

    row: int
    marked: MarkedImage
    size: Size
    orientation: int
    frame: Frame | None = None
    fitting: tuple[Frame, ...] = field(init=False)

    def __post_init__(self) -> None:
        fitting = fitting_frames(self.marked.stated, self.size, self.orientation)
        told = self.marked.frame
        self.fitting = (
            fitting if told is None or self.orientation == 1 else tuple(one for one in fitting if one == told)
        )


def find_marked(
    source: ImageSource, features: Features, marks: Marks, skipped: Skips
) -> tuple[list[MarkedPicture], tuple[str, ...]]:
    """Return the marked pictures, each once, and sentences on what was assumed of their marks.

    Args:
        source: the pictures.
        features: of those that could be read.
        marks: on some of them.
        skipped: takes (name, reason) of marks that cannot be used.
    """
    found = []
    for row, marked in _by_row(features, marks, skipped):
        index = int(features.indices[row])
        try:
            image = source[index].image
        except UnreadableImageError as error:
            skipped.append((_called(marked), str(error)))
            continue
        size = (image.shape[1], image.shape[2])
        found.append(MarkedPicture(row=row, marked=marked, size=size, orientation=orientation_of(source, index)))
    notes = tuple(_decide(found, marks.frame))
    return [one for one in found if _is_usable(one, skipped)], notes


def _by_row(features: Features, marks: Marks, skipped: Skips) -> list[tuple[int, MarkedImage]]:
    names = Names(features.names, features.indices.tolist())
    on_row: dict[int, list[MarkedImage]] = defaultdict(list)
    for marked in marks:
        places: tuple[int, ...] = ()
        near: tuple[int, ...] = ()
        for name in dict.fromkeys((marked.image, *marked.also)):
            naming = names.find(name)
            places, near = naming.found, near or naming.near
            if places:
                break
        if len(places) == 1:
            on_row[places[0]].append(marked)
        else:
            skipped.append((_called(marked), _unmatched(places or near, features.names, is_clear=not places)))
    return [(row, joined) for row, group in sorted(on_row.items()) for joined in _joined(row, group, features, skipped)]


def _unmatched(places: Sequence[int], names: Sequence[str], *, is_clear: bool) -> str:
    listed = ", ".join(repr(names[place]) for place in places[:3]) + (" and others" if len(places) > 3 else "")
    if not places:
        return "it is marked, but no image of that name could be used"
    if is_clear:
        return f"it is marked, but no image of that name could be used; {listed} lies in another folder"
    return f"it is marked, but several images have that name: {listed}; name its folder, too"


def _joined(row: int, group: list[MarkedImage], features: Features, skipped: Skips) -> list[MarkedImage]:
    """Join what several entries mark on one picture, where they agree on what it is called and how large it is."""
    first = group[0]
    called = {slashed(marked.image) for marked in group if isinstance(marked.image, str)}
    if len(called) > 1:
        others = ", ".join(map(repr, sorted(called)))
        skipped.append((features.names[row], f"marks of several images fit it: {others}; they were left out"))
        return []
    if len({(marked.stated, marked.tool, marked.frame) for marked in group}) > 1:
        skipped.append((features.names[row], "it is marked several times, at different sizes; they were left out"))
        return []
    return [first if len(group) == 1 else replace(first, marks=tuple(mark for one in group for mark in one.marks))]


def _decide(found: list[MarkedPicture], told: Frame | None) -> list[str]:
    """Set the frame of every marked picture: by its sizes, by the tool's other pictures, or by what the tool does."""
    notes = []
    for tool in dict.fromkeys(one.marked.tool for one in found):
        group = [one for one in found if one.marked.tool == tool]
        turned = [one for one in group if one.orientation != 1]
        seen = {one.fitting[0] for one in turned if len(one.fitting) == 1}
        usual = told or (seen.pop() if len(seen) == 1 else CONVENTIONS.get(tool, "upright"))
        unclear = [one for one in turned if len(one.fitting) == 2]
        for one in group:
            is_known = told is None or one.orientation == 1 or one.marked.frame is not None
            fitting = one.fitting if is_known else (told,)
            one.frame = usual if len(fitting) == 2 else fitting[0] if fitting else None
        if unclear and told is None:
            notes.append(_assumed(tool, len(unclear), usual, by_others=len(unclear) < len(turned)))
    return notes


def _assumed(tool: str, n: int, frame: Frame, *, by_others: bool) -> str:
    drawn = "the picture as it is shown" if frame == "upright" else "the picture as its file stores it"
    why = "as the other pictures tell" if by_others else f"by the convention of {_NOUN.get(tool, tool)}"
    return (
        f"{n} marked picture{'s are' * (n > 1) or ' is'} turned by EXIF, and no size tells which way up the marks were "
        f"drawn: taken as drawn on {drawn}, {why}. Say it with Marks.read(path, frame=...)."
    )


def _is_usable(one: MarkedPicture, skipped: Skips) -> bool:
    """Return whether a picture's marks can be drawn, and say why not."""
    marked, size = one.marked, one.size
    if one.frame is None:
        stated, stored = marked.stated or size, stored_size(size, one.orientation)
        as_stored = f" ({stored[1]} x {stored[0]} in its file)" if stored != size else ""
        skipped.append(
            (
                _called(marked),
                f"its marks must be of the picture's aspect, got {stated[1]} x {stated[0]} pixels for a picture of "
                f"{size[1]} x {size[0]}{as_stored}; they were left out",
            )
        )
        return False
    if marked.tool == "Label Studio" and one.frame == "stored" and one.orientation != 1:
        reason = "Label Studio states the stored size of a picture that it shows turned. Save it upright, export again"
        skipped.append((_called(marked), reason))
        return False
    return True


def _called(marked: MarkedImage) -> str:
    return marked.image if isinstance(marked.image, str) else f"image {marked.image}"
