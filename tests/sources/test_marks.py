"""Marks by hand, from files in the field's formats, and what is said of bad ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import likethat as lt
from likethat.errors import InputError
from likethat.sources.marks.records import SURROUNDINGS, Mark, MarkedImage
from likethat.sources.marks.run_lengths import run_lengths

COMPRESSED = "8240l0"
"""8, 2, 4, 2, 32 as COCO writes it: from the fourth on less the number two before, 5 bits a character; 28 takes two."""


def drawn(marks: lt.Marks, place: int = 0, size: tuple[int, int] = (6, 8)) -> dict[str, list[tuple[int, int]]]:
    """The pixels of each part as (row, column)."""
    found = marks.images[place].drawn(*size, [])
    return {name: [(int(row), int(column)) for row, column in np.argwhere(mask)] for name, mask in found.items()}


def test_shapes_by_hand() -> None:
    box = drawn(lt.Marks.of({0: {"beak": (1, 2, 3, 4)}}))["beak"]
    assert box == [(2, 1), (2, 2), (3, 1), (3, 2)]
    outline = drawn(lt.Marks.of({0: {"beak": [(1, 2), (2, 2), (2, 3), (1, 3)]}}))["beak"]
    assert outline == box
    mask = np.zeros((6, 8), dtype=bool)
    mask[2:4, 1:3] = True
    assert drawn(lt.Marks.of({0: {"beak": mask}}))["beak"] == box
    point = drawn(lt.Marks.of({0: {"eye": (4, 3)}}))["eye"]
    assert point == [(2, 4), (3, 3), (3, 4), (3, 5), (4, 4)]


def test_smaller_marks_lie_on_larger_ones() -> None:
    found = drawn(lt.Marks.of({0: {"eye": (2, 2, 3, 3), "head": (1, 1, 5, 5)}}))
    assert found["eye"] == [(2, 2)]
    assert len(found["head"]) == 15


def test_background_has_one_name() -> None:
    marks = lt.Marks.of({0: {"_background_": (0, 0, 2, 2), "beak": (3, 3, 5, 5)}})
    assert set(drawn(marks)) == {SURROUNDINGS, "beak"}
    assert marks.names == ("beak",)


def test_truth_of_drawn_creatures() -> None:
    book = lt.creatures(12, seed=3, size=32)
    marks = lt.Marks.from_truth(book, 3, seed=0)
    assert len(marks) == 3
    image = marks.images[0]
    assert isinstance(image.image, int)
    found = image.drawn(32, 32, [])
    assert all(np.array_equal(found[name], mask) for name, mask in book[image.image].masks.items() if mask.any())


def test_marks_of_another_size_are_scaled() -> None:
    marked = MarkedImage(image="a", marks=(Mark(name="beak", box=(0, 0, 10, 20)),), size=(20, 20))
    assert marked.drawn(10, 10, [])["beak"].sum() == 50


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({" ": (0, 0, 2, 2)}, "names no part"),
        ({"beak": (20, 20, 30, 30)}, "lies outside the image or is empty"),
        ({"eye": (50, 3)}, "lies outside the image"),
        ({"beak": (0, 0, 4, 4), "eye": (0, 0, 4, 4)}, "marked as 'beak' and as 'eye'; both were left out"),
    ],
    ids=str,
)
def test_bad_marks_leave_a_sentence(parts: dict[str, tuple[float, ...]], message: str) -> None:
    problems: list[tuple[str, str]] = []
    found = lt.Marks.of({"a.png": parts | {"wing": (5, 4, 7, 6)}}).images[0].drawn(6, 8, problems)
    assert list(found) == ["wing"]
    assert problems[0][0] == "a.png"
    assert message in problems[0][1]


def test_a_mark_of_no_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be a mask .* got shape \(3,\)"):
        lt.Marks.of({0: {"beak": (1, 2, 3)}})


def coco(tmp_path: Path, annotations: list[dict[str, object]]) -> Path:
    document = {
        "images": [{"id": 7, "file_name": "birds/robin.jpg", "width": 8, "height": 6}],
        "categories": [{"id": 1, "name": "beak"}, {"id": 2, "name": "bird", "keypoints": ["eye", "tail"]}],
        "annotations": [{"id": place, "image_id": 7, **item} for place, item in enumerate(annotations)],
    }
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_coco(tmp_path: Path) -> None:
    outline = [[1, 2, 2, 2, 2, 3, 1, 3]]
    square = [(2, 1), (2, 2), (3, 1), (3, 2)]
    counts = [8, 2, 4, 2, 32]  # columns of 6: (2, 1), (3, 1), (2, 2), (3, 2)
    for annotation in (
        {"category_id": 1, "segmentation": outline},
        {"category_id": 1, "bbox": [1, 2, 2, 2]},
        {"category_id": 1, "segmentation": {"size": [6, 8], "counts": counts}},
        {"category_id": 1, "segmentation": {"size": [6, 8], "counts": COMPRESSED}},
    ):
        marks = lt.Marks.read(coco(tmp_path, [annotation]))
        assert marks.images[0].image == "birds/robin.jpg"
        assert drawn(marks)["beak"] == square
    marks = lt.Marks.read(coco(tmp_path, [{"category_id": 2, "keypoints": [4, 3, 2, 0, 0, 0]}]))
    assert marks.names == ("eye",)


def test_coco_that_is_wrong_here_and_there(tmp_path: Path) -> None:
    wrong = [
        {"category_id": 9, "bbox": [0, 0, 1, 1]},
        {"category_id": 1},
        {"category_id": 1, "segmentation": {"size": [6, 8], "counts": [3]}},
        {"category_id": 1, "bbox": [1, 2, 2, 2]},
    ]
    marks = lt.Marks.read(coco(tmp_path, wrong))
    assert marks.names == ("beak",)
    reasons = [reason for _, reason in marks.skipped]
    assert reasons[0] == "it names no part: its category is unknown"
    assert reasons[1] == "it holds no outline, box or point"
    assert "run lengths of 3 pixels for an image of 6 x 8" in reasons[2]


def test_run_lengths_must_fill_the_image() -> None:
    with pytest.raises(ValueError, match="run lengths of 2 pixels"):
        run_lengths([1, 1], height=2, width=2)


def test_labelme(tmp_path: Path) -> None:
    shapes = [
        {"label": "beak", "points": [[1, 2], [3, 4]], "shape_type": "rectangle"},
        {"label": "eye", "points": [[4, 3]], "shape_type": "point"},
        {"label": "wing", "points": [[5, 0], [7, 0], [7, 1], [5, 1]]},
        {"label": "", "points": [[5, 5]], "shape_type": "point"},
        {"label": "leg", "points": [[0, 0], [1, 1]], "shape_type": "line"},
    ]
    document = {"imagePath": "robin.jpg", "imageWidth": 8, "imageHeight": 6, "shapes": shapes}
    (tmp_path / "robin.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    marks = lt.Marks.read(tmp_path)
    assert marks.names == ("beak", "eye", "wing")
    assert drawn(marks)["beak"] == [(2, 1), (2, 2), (3, 1), (3, 2)]
    reasons = " ".join(reason for _, reason in marks.skipped)
    assert "names no part" in reasons
    assert "shapes of type 'line' have no inside" in reasons
    assert "does not read" in reasons


def test_png_masks_by_part_and_by_number(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), dtype=np.uint8)
    mask[2:4, 1:3] = 255
    (tmp_path / "by-part" / "beak").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "by-part" / "beak" / "robin.png")
    (tmp_path / "by-part" / "beak" / "cut.png").write_bytes(b"no picture")
    by_part = lt.Marks.read(tmp_path / "by-part")
    assert by_part.images[0].image == "robin"
    assert [name for name, _ in by_part.skipped] == ["cut.png"]
    numbers = (mask > 0).astype(np.uint8)
    numbers[0, 0] = 9
    (tmp_path / "by-number").mkdir()
    Image.fromarray(numbers).save(tmp_path / "by-number" / "robin.png")
    (tmp_path / "by-number" / "names.txt").write_text("beak\n", encoding="utf-8")
    by_number = lt.Marks.read(tmp_path / "by-number")
    assert drawn(by_part) == drawn(by_number) == {"beak": [(2, 1), (2, 2), (3, 1), (3, 2)]}
    assert "number 9 names no part" in by_number.skipped[0][1]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), ("{", "does not read"), ("[]", "which is neither"), ("empty", "none was found")],
    ids=str,
)
def test_no_marks_there(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "marks.json"
    if content == "empty":
        path.mkdir()
    elif content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        lt.Marks.read(path)
