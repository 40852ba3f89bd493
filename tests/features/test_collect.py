"""What a pass does not do: digest pixels that nobody asks about, and hold what it has folded in."""

import importlib
import weakref
from typing import Any

import pytest
from toys import pictures, small_cnn

import likethat as lt

MODULE: Any = importlib.import_module("likethat.features.collect")


def test_a_pass_that_goes_on_from_nothing_digests_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(lt.Images, "signature", property(lambda _: asked.append(1) or {}))
    MODULE.collect(lt.split(small_cnn(), example=pictures(4)), lt.Images(pictures(40)))
    assert asked == []


def test_a_chunk_is_let_go_before_the_next_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    look, seen, living = MODULE.look, list[Any](), list[int]()

    def watched(*given: Any) -> Any:
        living.append(sum(one() is not None for one in seen))
        found = look(*given)
        seen.append(weakref.ref(found))
        return found

    monkeypatch.setattr(MODULE, "look", watched)
    MODULE.collect(lt.split(small_cnn(), example=pictures(4)), lt.Images(pictures(100)))
    assert living == [0, 0, 0, 0]
