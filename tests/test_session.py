"""What is set in a session stays out of ours, and stays on; our constructors name their type."""

import ast
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import likethat
from likethat._session import in_own_session, own_session

ROOT = Path(likethat.__file__).parent
FLOATING = {"empty", "eye", "linspace", "logspace", "ones", "rand", "randn", "zeros"}
LAYERS = {"BatchNorm2d", "Conv1d", "Conv2d", "ConvTranspose2d", "Embedding", "GRU", "GroupNorm", "LayerNorm", "Linear"}


@pytest.mark.slow
def test_every_constructor_names_its_type() -> None:
    # The default type is the whole process's: what is made without a type is another thing in another session.
    silent = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            home, name = ast.unparse(node.func.value), node.func.attr
            makes = (home == "torch" and name in FLOATING) or (home == "nn" and name in LAYERS)
            if makes and not any(word.arg in ("dtype", None) for word in node.keywords):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno} {home}.{name}")
    assert silent == []


def test_everything_is_put_aside_and_back() -> None:
    torch.set_default_device("meta")
    try:
        with np.errstate(all="raise"), torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
            with own_session(grad=True):
                assert torch.empty(0).device.type == "cpu"
                assert np.geterr()["under"] == "ignore"
                assert not torch.is_autocast_enabled("cpu")
                assert not torch.is_inference_mode_enabled()
                assert torch.is_grad_enabled()
            assert torch.empty(0).device.type == "meta"
            assert np.geterr()["under"] == "raise"
            assert torch.is_autocast_enabled("cpu")
            assert torch.is_inference_mode_enabled()
            assert not torch.is_grad_enabled()
    finally:
        torch.set_default_device(None)


def test_gradients_are_the_callers_unless_a_door_says_otherwise() -> None:
    with torch.no_grad(), own_session():
        assert not torch.is_grad_enabled()
    with torch.inference_mode(), own_session():
        assert not torch.is_grad_enabled()
    with torch.no_grad(), own_session(grad=True):
        assert torch.is_grad_enabled()


def test_a_door_within_a_door_changes_nothing() -> None:
    with own_session(), torch.autocast("cpu", torch.bfloat16), own_session():
        assert torch.is_autocast_enabled("cpu")  # which a method of ours switched on


def test_another_thread_has_its_own() -> None:
    seen = []

    def look() -> None:
        with torch.autocast("cpu", torch.bfloat16), own_session():
            seen.append(torch.is_autocast_enabled("cpu"))

    with own_session():
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert seen == [False]


def test_an_error_leaves_the_door_shut() -> None:
    @in_own_session
    def fails() -> None:
        raise ValueError("on purpose")

    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(ValueError, match="on purpose"):
            fails()
        assert torch.is_autocast_enabled("cpu")
        with own_session():
            assert not torch.is_autocast_enabled("cpu")


def test_public_methods_of_a_class_are_doors_and_private_ones_are_not() -> None:
    @in_own_session(grad=False)
    class Door:
        def opens(self) -> bool:
            """Say what holds inside."""
            return torch.is_grad_enabled()

        def _within(self) -> bool:
            return torch.is_grad_enabled()

    assert not Door().opens()
    assert Door()._within()
    assert Door.opens.__doc__ == "Say what holds inside."
