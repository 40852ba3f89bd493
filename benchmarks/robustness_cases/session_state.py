"""What is set in a session changes no result, and is as it was afterwards."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robustness_cases import RIGHT, Wrong, case, expect
from robustness_cases._sessions import JOURNEYS, SETTINGS, Result, in_a_plain_session, random_states

_ROUNDING = {"two threads"}  # sums are taken in another order


def _flat(value: Any) -> Any:
    if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
        return np.concatenate([np.asarray(item.cpu(), dtype=float).ravel() for item in value])
    if isinstance(value, Tensor):
        return value.detach().cpu().double().numpy()
    return value


def _compare(got: Result, expected: Result, *, rounded: bool) -> None:
    expect(sorted(got), sorted(expected), "what came out")
    for name, value in expected.items():
        ours, theirs = _flat(got[name]), _flat(value)
        if isinstance(theirs, np.ndarray | float):
            expect(ours, theirs, name, tolerance=1e-4 if rounded else 0.0)
        elif not rounded:
            expect(ours, theirs, name)


def _try(setting: str, journey: Callable[[], Result]) -> None:
    expected = in_a_plain_session(journey)
    before = random_states()
    with SETTINGS[setting]():
        got = journey()
    if random_states() != before:
        raise Wrong("a global source of random numbers moved on")
    for name, value in got.items():
        if isinstance(value, Tensor) and value.is_floating_point() and isinstance(expected[name], Tensor):
            expect(value.dtype, expected[name].dtype, f"type of {name}")
    _compare(got, expected, rounded=setting in _ROUNDING)


_TOUR = {"split_and_ask", "fit_epic", "explain"}
_HOSTILE = ("float64 by default", "inference mode", "the meta device by default", "autocast to bfloat16")

for _setting in SETTINGS:
    for _journey in JOURNEYS:
        if _journey.__name__ in _TOUR or _setting in _HOSTILE:

            @case("session state", f"{str(_journey.__doc__).rstrip('.')}, with {_setting}", accepts=RIGHT)
            def _(setting: str = _setting, journey: Callable[[], Result] = _journey) -> None:
                _try(setting, journey)


@case("session state", "an inference tensor made earlier can be asked for gradients' sake", accepts=RIGHT)
def _() -> None:
    import likethat as lt

    model = lt.load("zoo:digits")
    with torch.inference_mode():
        images = torch.zeros(1, 1, 32, 32)
    expect(model.logits(images).requires_grad, True, "gradients of the weights")


@case("session state", "a network loaded in inference mode can be learned from afterwards", accepts=RIGHT)
def _() -> None:
    import likethat as lt

    with torch.inference_mode():
        model = lt.load("zoo:digits")
    images = torch.zeros(1, 1, 32, 32, requires_grad=True)
    model.logits(images).sum().backward()
    expect(images.grad is not None, True, "a gradient")
