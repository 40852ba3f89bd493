"""What counts as a number, a flag, a path, a size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from likethat._options import byte_count, check_callable, check_flag, check_names, check_number, check_path, shown
from likethat.errors import InputError

WRONG_NUMBERS = ["1", None, True, np.bool_(True), torch.tensor(True), float("nan"), float("inf"), -1, [1], 1j, 10**400]


@pytest.mark.parametrize("value", WRONG_NUMBERS, ids=str)
def test_what_is_no_number(value: Any) -> None:
    with pytest.raises(InputError, match="`x` must be a number of at least 0, got "):
        check_number(value, name="x")


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5, dtype=torch.float16)])
def test_numbers_of_every_library(value: Any) -> None:
    assert check_number(value, name="x") == 0.5


def test_bounds_are_in_or_out() -> None:
    assert check_number(1, name="x", high=1) == 1
    with pytest.raises(InputError, match="above 0 and below 1, got 1"):
        check_number(1, name="x", high=1, with_low=False, with_high=False)
    with pytest.raises(InputError, match="above 0 and below 1, got 0"):
        check_number(0, name="x", high=1, with_low=False, with_high=False)


@pytest.mark.parametrize("value", ["no", 0, 1, None, [], torch.tensor([True])], ids=str)
def test_what_is_no_flag(value: Any) -> None:
    with pytest.raises(InputError, match="`x` must be True or False, got "):
        check_flag(value, name="x")


def test_flags() -> None:
    assert check_flag(True, name="x") is True
    assert check_flag(np.bool_(False), name="x") is False


@pytest.mark.parametrize("value", ["", " ", "a\0b", b"a", 3, None, ["a"]], ids=repr)
def test_what_is_no_path(value: Any) -> None:
    with pytest.raises(InputError, match=r"`path` must be a path, as text or pathlib\.Path, got "):
        check_path(value)


def test_paths() -> None:
    assert check_path("a/b") == check_path(Path("a") / "b") == Path("a/b")


def test_names() -> None:
    assert check_names(("a", 1, np.int64(2))) == ("a", "1", "2")
    for value in ("ab", b"ab", {"a": 1}, {"a"}, None, 3, [None], [True], str):
        with pytest.raises(InputError, match="`class_names` must be a list of names"):
            check_names(value)


def test_functions() -> None:
    assert check_callable(None, name="watch", takes="a Progress") is None
    assert check_callable(print, name="watch", takes="a Progress") is print
    for value in (int, 3, "print"):
        with pytest.raises(InputError, match="`watch` must be a function of a Progress, or None, got "):
            check_callable(value, name="watch", takes="a Progress")


def test_sizes() -> None:
    assert [byte_count(size) for size in ("2GB", "1.5 GiB", "64K", 7, 7.0)] == [2 * 10**9, 3 * 2**29, 64_000, 7, 7]
    for value in ("", "lots", "-1GB", "0GB", 0, -1, True, float("nan"), None, [2], "99999999TB"):
        with pytest.raises(InputError, match="`memory_budget` must be a size such as 500MB or 2GB, got "):
            byte_count(value)


def test_a_value_is_shown_in_one_short_line() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown("a\n" * 500) == repr("a\n" * 500)[:78] + " …"
    assert shown([Loud()]) == "a list"
    assert (shown(Loud()), shown(int), shown(np.float32(2))) == ("a Loud", "the class int", "2.0")
