"""Words of a command and what they mean."""

import pytest
from command_line import likethat

from likethat._options import byte_count
from likethat.cli.console import duration
from likethat.cli.exemplars import _target
from likethat.cli.options import class_index_or_name
from likethat.errors import InputError, TargetError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2GB", 2_000_000_000),
        ("2gb", 2_000_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("500M", 500_000_000),
        ("64KiB", 65_536),
        ("1000000", 1_000_000),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert byte_count(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "-1GB", "0", "0GB", "2 apples", "GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="must be a size such as 500MB or 2GB, got"):
        byte_count(text)


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        (None, ("a",), None),
        ("a", ("a",), "a"),
        ("1", ("a", "b"), 1),
        ("-1", ("a", "b"), -1),
        ("2", ("1", "2"), "2"),  # no index
        ("1", ("0", "1"), "1"),  # both readings agree
        ("name:1", ("1", "2"), "1"),
        ("index:1", ("1", "2"), "2"),
        ("name:cat", ("name:cat", "cat"), "name:cat"),
        ("c", ("a", "b"), "c"),
    ],
)
def test_targets(text: str | None, names: tuple[str, ...], expected: int | str | None) -> None:
    assert class_index_or_name(text, names) == expected


def test_a_number_that_is_a_name_and_another_index_is_refused() -> None:
    with pytest.raises(TargetError, match=r"got 1: the class named '1', or the one at index 1, which is '2'.*name:2"):
        class_index_or_name("1", ("1", "2"))


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "1 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")]
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_number_that_could_be_two_classes_is_said_in_a_mixture_too() -> None:
    names = ("2", "1", "0")
    assert _target("name:1=.5,index:1=.5", ("ant", "bee")) == {"1": 0.5, "bee": 0.5}
    for word in ("0", "0=.5,2=.5"):
        with pytest.raises(TargetError, match="name:"):
            _target(word, names)
    with pytest.raises(InputError, match="must be such as"):
        _target("ant=much", ("ant", "bee"))


def test_one_target_is_given_once_where_one_is_taken() -> None:
    words = ["counterfactual", "-m", "zoo:digits", "-g", "zoo:digits", "-i", "zoo:digits:7", "--out", "c.html"]
    result = likethat(*words, "--target", "3", "-t", "4")
    assert result.exit_code == 2
    assert "--target must be given once, got it 2 times" in result.stderr
    result = likethat("exemplars", "-m", "zoo:nothing", "-g", "zoo:digits", "-t", "3", "-t", "4", "--out", "e.html")
    assert "given once" not in result.stderr  # there may be several
