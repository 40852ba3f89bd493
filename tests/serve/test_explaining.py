"""Which class a visitor means."""

from types import SimpleNamespace
from typing import Any

import pytest

from likethat.errors import TargetError
from likethat.serve.explaining import class_of

BANK: Any = SimpleNamespace(class_names=("tench, Tinca tinca", "crane", "crane"))


@pytest.mark.parametrize(
    ("word", "index"),
    [("", None), ("  ", None), ("tench", 0), ("Tinca tinca ", 0), ("TENCH", 0), ("index:2", 2), ("crane", 1)],
)
def test_a_class_is_named_as_on_the_command_line(word: str, index: int | None) -> None:
    assert class_of(BANK, word) == index


@pytest.mark.parametrize("word", ["tensh", "index:3", "index:x"])
def test_what_is_no_class_is_said_with_what_there_is(word: str) -> None:
    with pytest.raises(TargetError, match="It knows 'tench, Tinca tinca'"):
        class_of(BANK, word)
