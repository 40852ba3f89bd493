"""Calls that do not fit, and functions of the user's that fail."""

import subprocess
import sys
from typing import Any

import pytest
from toys import small_cnn

import likethat as lt
from likethat._calls import foreign, known_options, public
from likethat.errors import ArgumentError, InputError, TargetError


@public
class Thing:
    """Takes a number, and does something."""

    def __init__(self, number: int, *, colour: str = "red") -> None:
        self.number, self.colour = number, colour

    def paint(self, *, colour: str) -> str:
        """Return the colour."""
        return colour + 1 if colour == "broken" else colour  # type: ignore[operator]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Thing(1, color="red"), "`color` is no argument of Thing. Did you mean `colour`?"),
        (lambda: Thing(1, x=2), "`x` is no argument of Thing. It takes number, colour."),
        (lambda: Thing(), "Thing must be called with `number`, got none."),
        (lambda: Thing(1, "red"), "Thing must be called with number and the rest by name, got 2 values."),
        (lambda: Thing(1).paint("red"), "Thing.paint must be called with nothing and the rest by name, got 1 values."),
        (lambda: Thing(1).paint(), "Thing.paint must be called with `colour`, got none."),
    ],
)
def test_a_call_that_does_not_fit(call: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message
    assert isinstance(caught.value, TypeError)


def test_errors_of_the_function_itself_pass() -> None:
    with pytest.raises(TypeError, match="can only concatenate") as caught:
        Thing(1).paint(colour="broken")
    assert not isinstance(caught.value, ArgumentError)


def test_options_nobody_reads() -> None:
    known_options({"size": 3}, ["size"], of="a thing")
    with pytest.raises(ArgumentError, match=r"`sise` is no option of a thing\. Did you mean `size`\?"):
        known_options({"sise": 3}, ["size"], of="a thing")


def test_what_a_function_of_the_users_raises() -> None:
    with pytest.raises(InputError, match=r"`f` must not fail, got ValueError: first\. Try"), foreign("`f`"):
        raise ValueError("first\nsecond")
    with pytest.raises(InputError, match=r"got KeyError"), foreign("`f`"):
        raise KeyError
    with pytest.raises(TargetError), foreign("`f`"):
        raise TargetError("ours")
    with pytest.raises(KeyboardInterrupt), foreign("`f`"):
        raise KeyboardInterrupt


def test_a_warning_names_the_line_that_called_us() -> None:
    with pytest.warns(UserWarning, match="in training mode") as caught:
        lt.split(small_cnn().train(), preprocess=lt.Preprocess(size=16))
    assert [each.filename for each in caught] == [__file__]


@pytest.mark.slow
def test_the_module_is_the_command() -> None:
    asked = [sys.executable, "-m", "likethat", "--version"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    assert lt.__version__ in said.stdout
