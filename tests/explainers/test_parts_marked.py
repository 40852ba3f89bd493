"""Which picture marks are on and which way up they were drawn, told by sizes, by other pictures, or by convention."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from toys import features_of

from likethat.errors import UnreadableImageError
from likethat.explainers.parts.marked import MarkedPicture, find_marked
from likethat.features import Features
from likethat.sources.base import Sample
from likethat.sources.marks.marks import Marks
from likethat.sources.marks.records import Mark, MarkedImage

HEIGHT, WIDTH = 16, 24
UPRIGHT, STORED = (HEIGHT, WIDTH), (WIDTH, HEIGHT)
"""Height and width of a picture as it is shown, and in its file where that lies on its side."""
BEAK = Mark(name="beak", box=(0.0, 0.0, 8.0, 8.0))
GONE = 9
"""An orientation that stands for a picture that cannot be read again."""


class Turned:
    """Pictures of 16 x 24 that their EXIF turned."""

    def __init__(self, orientations: Sequence[int]) -> None:
        self.orientations = orientations

    def __len__(self) -> int:
        return len(self.orientations)

    def __getitem__(self, index: int) -> Sample:
        if self.orientations[index] == GONE:
            raise UnreadableImageError(f"picture {index} is gone.")
        return Sample(image=torch.zeros(3, HEIGHT, WIDTH), name=f"{index}.png")

    def orientation(self, index: int) -> int:
        return self.orientations[index]


def marked(image: str | int, size: tuple[int, int] | None = None, tool: str = "COCO", **more: Any) -> MarkedImage:
    return MarkedImage(image=image, marks=(BEAK,), size=size, tool=tool, **more)


def passed(names: Sequence[str]) -> Features:
    features = features_of(torch.ones(len(names), 1, 1))
    features.names = list(names)
    return features


class Found:
    """What `find_marked` finds on pictures of some orientations, called 0.png, 1.png, ..."""

    def __init__(self, orientations: Sequence[int], *marks: MarkedImage, frame: Any = None, names: Any = None) -> None:
        names = names or [f"{index}.png" for index in range(len(orientations))]
        self.skipped: list[tuple[str, str]] = []
        self.pictures: list[MarkedPicture]
        self.pictures, self.notes = find_marked(
            Turned(orientations), passed(names), Marks(images=tuple(marks), frame=frame), self.skipped
        )

    @property
    def frames(self) -> dict[int, Any]:
        return {one.row: one.frame for one in self.pictures}


def test_pictures_are_found_once_in_their_order_with_what_is_known_of_them() -> None:
    found = Found([1, 6, 1], marked("2.png", UPRIGHT), marked("1.png", STORED))
    assert [(one.row, one.size, one.orientation) for one in found.pictures] == [(1, UPRIGHT, 6), (2, UPRIGHT, 1)]
    assert found.frames == {1: "stored", 2: "upright"}
    assert found.pictures[0].fitting == ("stored",)
    assert (found.notes, found.skipped) == ((), [])


def test_what_several_entries_mark_on_one_picture_is_joined() -> None:
    eye = MarkedImage(image="0.png", marks=(Mark(name="eye", point=(1.0, 1.0)),), tool="COCO")
    (one,) = Found([1], marked("0.png"), eye, marked("0.png")).pictures
    assert [mark.name for mark in one.marked.marks] == ["beak", "eye", "beak"]


@pytest.mark.parametrize("other", [{"size": (32, 48)}, {"tool": "LabelMe"}, {"frame": "stored"}], ids=str)
def test_entries_that_refer_to_different_pixels_are_not_joined(other: dict[str, Any]) -> None:
    found = Found([1, 1], marked("0.png", UPRIGHT), marked("0.png", **({"size": UPRIGHT} | other)), marked("1.png"))
    assert found.frames == {1: "upright"}
    assert found.skipped == [("0.png", "it is marked several times, at different sizes; they were left out")]


def test_marks_of_two_files_that_fit_one_picture_are_no_marks_of_it() -> None:
    found = Found(
        [1, 1], marked("wet/robin.jpg"), marked("dry/robin.jpg"), marked("1.png"), names=["robin.jpg", "1.png"]
    )
    assert found.frames == {1: "upright"}
    ((name, reason),) = found.skipped
    assert name == "robin.jpg"
    assert "'dry/robin.jpg', 'wet/robin.jpg'" in reason
    # One file, called by number and by name, or with other slashes, is one file.
    same = Found([1], marked("a\\robin.jpg"), marked("a/robin.jpg"), marked(0), names=["robin.jpg"])
    assert len(same.pictures[0].marked.marks) == 3


def test_a_picture_of_several_names_is_found_by_the_first_that_is_one() -> None:
    found = Found([1, 1], marked("nowhere.png", also=("1.png", "0.png")))
    assert list(found.frames) == [1]


@pytest.mark.parametrize(
    ("image", "names", "reason"),
    [
        ("wren.jpg", ["robin.jpg"], "it is marked, but no image of that name could be used"),
        (
            "fish/robin.jpg", ["birds/robin.jpg"],
            "it is marked, but no image of that name could be used; 'birds/robin.jpg' lies in another folder",
        ),
        (
            "robin.jpg", ["a/robin.jpg", "b/robin.jpg", "c/robin.jpg"],
            "it is marked, but several images have that name: 'a/robin.jpg', 'b/robin.jpg', 'c/robin.jpg'; name its "
            "folder, too",
        ),
        (
            "robin.jpg", ["a/robin.jpg", "b/robin.jpg", "c/robin.jpg", "d/robin.jpg"],
            "it is marked, but several images have that name: 'a/robin.jpg', 'b/robin.jpg', 'c/robin.jpg' and others; "
            "name its folder, too",
        ),
        (7, ["robin.jpg"], "it is marked, but no image of that name could be used"),
    ],
    ids=str,
)  # fmt: skip
def test_a_name_that_means_no_picture_or_several_is_said(image: str | int, names: list[str], reason: str) -> None:
    found = Found([1] * len(names), marked(image), names=names)
    assert found.pictures == []
    assert found.skipped == [(image if isinstance(image, str) else "image 7", reason)]


def test_pictures_near_by_one_of_its_names_are_said_whichever_it_is() -> None:
    found = Found([1], marked("x/robin.jpg", also=("none.jpg",)), names=["y/robin.jpg"])
    assert "'y/robin.jpg' lies in another folder" in found.skipped[0][1]


def test_a_picture_that_went_is_said_and_the_others_are_marked() -> None:
    found = Found([GONE, 1], marked("0.png"), marked("1.png"))
    assert list(found.frames) == [1]
    assert found.skipped == [("0.png", "picture 0 is gone.")]


def test_marks_of_another_aspect_are_left_out_with_the_sizes() -> None:
    found = Found([1, 6], marked("0.png", (20, 20)), marked("1.png", (20, 20)))
    assert found.pictures == []
    start = "its marks must be of the picture's aspect, got 20 x 20 pixels for a picture of 24 x 16"
    assert found.skipped == [
        ("0.png", f"{start}; they were left out"),
        ("1.png", f"{start} (16 x 24 in its file); they were left out"),
    ]


def test_a_frame_that_a_file_states_holds_where_its_size_fits_and_says_nothing_of_upright_pictures() -> None:
    found = Found([3, 6, 1], marked("0.png", UPRIGHT, frame="stored"), marked("1.png", UPRIGHT, frame="stored"),
                  marked("2.png", UPRIGHT, frame="stored"))  # fmt: skip
    assert found.frames == {0: "stored", 2: "upright"}
    assert [name for name, _ in found.skipped] == ["1.png"]  # stored, 1.png has the other sides
    assert "got 24 x 16 pixels for a picture of 24 x 16 (16 x 24 in its file)" in found.skipped[0][1]


def test_sizes_of_other_pictures_of_the_same_tool_tell() -> None:
    told, unclear = marked("0.png", STORED), marked("1.png", UPRIGHT)
    found = Found([6, 3, 1], told, unclear, marked("2.png", UPRIGHT))
    assert found.frames == {0: "stored", 1: "stored", 2: "upright"}
    (note,) = found.notes
    assert note.startswith("1 marked picture is turned by EXIF")
    assert "drawn on the picture as its file stores it, as the other pictures tell" in note
    other = Found([6, 3], marked("0.png", STORED, tool="LabelMe"), unclear)  # of another tool: tells nothing of COCO
    assert other.frames == {0: "stored", 1: "upright"}
    assert "by the convention of COCO" in other.notes[0]
    both = Found([6, 6, 3], told, marked("1.png", UPRIGHT), marked("2.png", UPRIGHT))  # they do not agree
    assert both.frames == {0: "stored", 1: "upright", 2: "upright"}


@pytest.mark.parametrize(
    ("tool", "frame", "words"),
    [
        ("COCO", "upright", "drawn on the picture as it is shown, by the convention of COCO"),
        ("masks", "stored", "drawn on the picture as its file stores it, by the convention of PNG masks"),
        ("", "stored", "by the convention of marks from memory"),
        ("a tool of tomorrow", "upright", "by the convention of a tool of tomorrow"),
    ],
)
def test_where_no_size_tells_each_tool_has_its_convention_and_a_note_says_so(tool: str, frame: str, words: str) -> None:
    found = Found([3, 2], marked("0.png", UPRIGHT, tool=tool), marked("1.png", UPRIGHT, tool=tool))
    assert found.frames == {0: frame, 1: frame}
    assert found.notes[0].startswith("2 marked pictures are turned by EXIF, and no size tells")
    assert words in found.notes[0]


def test_who_says_which_way_up_is_believed_even_where_sizes_say_otherwise() -> None:
    found = Found([3, 6, 1], marked("0.png", UPRIGHT), marked("1.png", STORED), marked("2.png", UPRIGHT),
                  frame="upright")  # fmt: skip
    assert found.frames == {0: "upright", 1: "upright", 2: "upright"}
    assert found.notes == ()
    own = Found([3, 6], marked("0.png", UPRIGHT, frame="stored"), marked("1.png", UPRIGHT), frame="upright")
    assert own.frames == {0: "stored", 1: "upright"}  # what a file says of its own picture goes before


def test_who_says_which_way_up_says_nothing_of_the_aspect_of_pictures_that_are_not_turned() -> None:
    found = Found([1, 1], marked("0.png", (20, 20)), marked("1.png", UPRIGHT), frame="upright")
    assert found.frames == {1: "upright"}
    assert found.skipped[0][1].startswith("its marks must be of the picture's aspect")


def test_label_studio_that_states_stored_sizes_is_left_out_where_pictures_are_turned() -> None:
    tool = "Label Studio"
    found = Found(
        [6, 1, 6], marked("0.png", STORED, tool), marked("1.png", UPRIGHT, tool), marked("2.png", UPRIGHT, tool)
    )
    assert list(found.frames) == [1, 2]
    assert found.skipped[0][0] == "0.png"
    assert "shows turned. Save it upright" in found.skipped[0][1]
    assert list(Found([6], marked("0.png", STORED, "COCO")).frames) == [0]


def test_a_mask_tells_its_size_by_itself() -> None:
    mask = np.ones(STORED, dtype=bool)
    lying = MarkedImage(image="0.png", marks=(Mark(name="beak", mask=mask),), tool="masks")
    found = Found([6, 3], lying, marked("1.png", None, "masks"))
    assert found.frames == {0: "stored", 1: "stored"}
    assert "as the other pictures tell" in found.notes[0]
