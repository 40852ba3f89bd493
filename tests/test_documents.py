"""Documents of anybody's: bounded, typed, one fact an error."""

import os
from pathlib import Path

import pytest

from likethat._documents import Damaged, going_on_from, parse_json, read_bytes, read_json, typed
from likethat.errors import InputError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_encoding_of_json(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('{"é": [1, 2.5, null]}'.encode(encoding))
    assert read_json(tmp_path / "a.json") == {"é": [1, 2.5, None]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested too deep"),
        ('{"a": 1, "a": 2}', "has the key 'a' twice"),
        ("[NaN]", "holds NaN, which is no number"),
        ("[1", "is no JSON"),
        ("9" * 5000, "holds a number of 5,000 digits"),
        (b"\xff\xfe\x00\xd8", "is no JSON"),
    ],
)
def test_what_is_no_document(text: str | bytes, message: str) -> None:
    with pytest.raises(Damaged, match=message):
        parse_json(text)


def test_nan_where_it_is_allowed() -> None:
    assert parse_json("[Infinity]", nan=True) == [float("inf")]


def test_only_regular_files_of_a_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", limit=5) == b"12345"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_bytes(tmp_path / "link") == b"12345"
    for path, options, message in (
        (tmp_path / "a", {"limit": 4}, "has 5 bytes, which is more than the 4"),
        (tmp_path / "link", {"follow": False}, "is a link"),
        (tmp_path / "gone", {}, "is missing"),
        (tmp_path, {}, "is no file|cannot be read"),
    ):
        with pytest.raises(Damaged, match=message):
            read_bytes(path, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Damaged, match="is no file"):
        read_bytes(tmp_path / "pipe")


def test_no_value_is_bent_into_another_type() -> None:
    with pytest.raises(Damaged, match=r"expected `int`, got `str` - at `.*\[1\]`"):
        typed({"box": [1, "2"]}, dict[str, list[int]])


def test_a_checkpoint_that_does_not_fit() -> None:
    with pytest.raises(InputError, match=r"got there, which is damaged \(KeyError: 'means'\)"), going_on_from("there"):
        raise KeyError("means")
    with pytest.raises(InputError, match="as it was"), going_on_from("there"):
        raise InputError("as it was")


def test_a_number_that_no_float_holds_is_refused() -> None:
    assert parse_json("9" * 300) == int("9" * 300)
    with pytest.raises(Damaged, match="holds a number of 301 digits"):
        parse_json("9" * 301)
