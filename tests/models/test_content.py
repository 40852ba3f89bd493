"""What a thing holds tells it from another of its name, in this process and in the next."""

import functools
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from likethat.models.content import content_of

CODE = """
import numpy as np
from likethat.models.content import content_of
LIMITS = {"a", "b", "c", "d"}
class Box:
    def __init__(self): self.array = np.arange(3.0)
    def __call__(self, x): return x in LIMITS
print(content_of([Box(), {"x", "y", "z"}, lambda x: {"u", "v", "w"} & x]))
"""
SCALE = np.array([1.0, 2.0])


class Scorer:
    """Asks a global, as a script's own class does."""

    weight = 2

    def __call__(self, x: float) -> float:
        return float(SCALE[0] * self.weight * x)


class Gate(nn.Module):
    """A network with a number that is no parameter."""

    def __init__(self, above: float) -> None:
        super().__init__()
        self.above, self.head = above, nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x > self.above).float()


def _with(value: Any) -> Callable[[Any], Any]:
    return lambda x: (x, value)


@pytest.mark.slow
def test_the_same_in_every_process(capsys: pytest.CaptureFixture[str]) -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    exec(CODE, {"__name__": "__main__"})
    assert len(found.strip()) == 64
    assert capsys.readouterr().out == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.5, 0.25), (1, True), ("a", b"a"), ([1, 2], [2, 1]), ([[1], 2], [[1, 2]]), ({"a": 1}, {"a": 2}), ({1}, {2}),
        (np.zeros(2), np.zeros((2, 1))), (np.zeros(2), np.zeros(2, "f4")), (np.array(["a", 1], object), np.array([1])),
        (torch.zeros(2), torch.ones(2)), (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (np.array([(1, 2.0)], "i1,f8"), np.array([(1, 3.0)], "i1,f8")),
        (Gate(0.5), Gate(0.6)), (nn.Dropout(0.1), nn.Dropout(0.2)), (np.mean, np.median), (len, sum),
        (functools.lru_cache(_with(1)), functools.lru_cache(_with(2))),
        (functools.partial(_with(1), 1), functools.partial(_with(1), 2)),
    ],
)  # fmt: skip
def test_what_differs_is_told_apart(one: Any, other: Any) -> None:
    assert content_of(one) is not None
    assert content_of(one) != content_of(other)
    assert content_of(_with(one)) not in (None, content_of(_with(other)))


def test_what_a_method_refers_to_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_of(Scorer())
    assert before == content_of(Scorer()) != content_of(Scorer().__call__)
    monkeypatch.setitem(globals(), "SCALE", np.array([3.0, 2.0]))
    changed = content_of(Scorer())
    monkeypatch.setattr(Scorer, "weight", 3)
    assert len({before, changed, content_of(Scorer()), None}) == 4


def test_padding_and_sharing_do_not_count() -> None:
    kind = np.dtype({"names": ["a"], "formats": ["i1"], "offsets": [0], "itemsize": 8})
    one, other = np.zeros(1, kind), np.frombuffer(b"\0" + b"\1" * 7, kind)
    assert content_of(one) == content_of(other)
    shared = np.arange(2)
    assert content_of([shared, shared]) == content_of([shared, shared.copy()])
    within: list[Any] = [1]
    within.append(within)
    assert content_of(within) is not None


def test_what_cannot_be_told_is_none() -> None:
    assert content_of(_with(threading.Lock())) is None
    assert content_of(one for one in ()) is None


def test_estimators_go_by_what_they_learned() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = np.random.default_rng(0).normal(size=(40, 2))

    def fitted(column: int) -> Any:
        model = make_pipeline(StandardScaler(), RandomForestClassifier(3, random_state=0))
        return model.fit(rows, rows[:, column] > 0)

    model = fitted(0)
    before = content_of(model)
    model.predict_proba(rows)
    assert before == content_of(model) == content_of(fitted(0)) != content_of(fitted(1))
    assert content_of(model.predict_proba) not in (None, before, content_of(fitted(1).predict_proba))


def _changed(how: str) -> nn.Module:
    """Return the same network each time, but for what no state_dict has."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 2))
    if how == "a list":
        network[0].scales = [-1.0]
    elif how == "a tensor":
        network[0].scale = torch.tensor(-1.0)
    elif how == "a buffer that is not saved":
        network.register_buffer("sign", -torch.ones(1), persistent=False)
    elif how == "a hook":
        network.register_forward_hook(lambda module, given, output: -output)
    elif how == "a forward of its own":
        network.forward = lambda x: -x  # type: ignore[method-assign]
    return network


def test_a_network_is_what_it_carries_beside_its_weights_too() -> None:
    ways = ("", "a list", "a tensor", "a buffer that is not saved", "a hook", "a forward of its own")
    found = [content_of(_changed(how)) for how in ways]
    assert None not in found
    assert len(set(found)) == len(ways)
    assert found == [content_of(_changed(how)) for how in ways]
    locked = _changed("")
    locked.lock = threading.Lock()  # type: ignore[assignment]
    assert content_of(locked) not in (None, found[0])


def test_modules_that_are_not_installed_are_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("settings_of_mine")
    module.inner = ModuleType("settings_of_mine.inner")  # type: ignore[attr-defined]
    module.inner.limit, module.unused = 1, threading.Lock()
    for one in (module, module.inner):
        one.__file__ = "/home/me/settings_of_mine.py"
        monkeypatch.setitem(sys.modules, one.__name__, one)
    monkeypatch.setitem(globals(), "mine", module)
    before = content_of(_of_module)
    assert before is not None
    module.inner.limit = 2
    assert content_of(_of_module) not in (None, before)


def _of_module(x: float) -> bool:
    return x > mine.inner.limit  # type: ignore[name-defined, no-any-return]


def test_patterns_functions_of_numpy_and_what_is_set_on_a_function_are_read() -> None:
    first, second = content_of(re.compile("a")), content_of(re.compile("b"))
    assert None not in (first, second, content_of(np.exp))
    assert first != second
    one, other = _with(1), _with(1)
    other.scale = 2  # type: ignore[attr-defined]
    assert content_of(one) != content_of(other)
