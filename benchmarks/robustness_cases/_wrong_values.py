"""Wrong values of each kind of argument, by how they are written; made anew for each call."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

Values = dict[str, Callable[[], Any]]


class Thing:
    """An object that is nothing a function asks for."""


def raising(*_: Any, **__: Any) -> Any:
    """Fail as a user's function may."""
    raise ValueError("the user's own mistake")


def raising_items() -> Iterator[Any]:
    """Give one image, then fail."""
    yield torch.zeros(3, 16, 16)
    raise RuntimeError("the connection is gone")


class Failing(Dataset[Any]):
    """A data set whose items cannot be had."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise KeyError(f"no column for {index}")


class Giving(Dataset[Any]):
    """A data set of one value, over and over."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return self.value


def same(**values: Any) -> Values:
    """Return values that need no making anew."""
    return {name: (lambda value=value: value) for name, value in values.items()}


@cache
def places() -> Path:
    """Return a folder with a file, a folder, a pipe, and what is no picture, JSON or tensor."""
    root = Path(tempfile.mkdtemp(prefix="likethat-bad-"))
    (root / "file.txt").write_text("hello\n", encoding="utf-8")
    (root / "empty").mkdir()
    (root / "full").mkdir()
    (root / "full" / "thesis.txt").write_text("mine", encoding="utf-8")
    (root / "broken.json").write_text('{"images": [', encoding="utf-8")
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (root / "broken.safetensors").write_bytes(b"\xff" * 64)
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe", stat.S_IRUSR | stat.S_IWUSR)
    return root


_ANYTHING = {**same(**{"None": None, "[]": [], "b'3'": b"3", "int": int}), "object()": Thing}
COUNT: Values = {
    **_ANYTHING,
    **same(**{"True": True, "1.5": 1.5, "'3'": "3", "0": 0, "-1": -1, "nan": float("nan"), "10**30": 10**30}),
    "np.float64(2.5)": lambda: np.float64(2.5),
    "torch.tensor([1, 2])": lambda: torch.tensor([1, 2]),
}
COUNT_OR_NONE = {name: make for name, make in COUNT.items() if name != "None"}
COUNT_FROM_0 = {name: make for name, make in COUNT.items() if name != "0"}
SEED = {**COUNT_FROM_0, **same(**{"2**64": 2**64})}
NUMBER: Values = {
    **_ANYTHING,
    **same(**{"True": True, "'0.1'": "0.1", "nan": float("nan"), "inf": float("inf"), "-1": -1, "1j": 1j}),
    "[0.1]": lambda: [0.1],
    "np.ones(2)": lambda: np.ones(2),
}
NUMBER_OR_NONE = {name: make for name, make in NUMBER.items() if name != "None"}
SHARE = {**NUMBER, **same(**{"2": 2})}
FLAG: Values = {**_ANYTHING, **same(**{"'no'": "no", "0": 0, "1": 1, "nan": float("nan")})}
CHOICE: Values = {**_ANYTHING, **same(**{"''": "", "'nonsense'": "nonsense", "3": 3, "True": True})}
SIZE: Values = {
    **_ANYTHING,
    **same(**{"''": "", "'2 apples'": "2 apples", "0": 0, "-5": -5, "True": True, "nan": float("nan")}),
}
FUNCTION: Values = {**same(**{"3": 3, "'print'": "print", "int": int, "[]": []}), "object()": Thing}
NAMES: Values = {
    **same(
        **{
            "3": 3,
            "'ab'": "ab",
            "b'ab'": b"ab",
            "[None, None]": [None, None],
            "{'a': 1}": {"a": 1},
            "[[], []]": [[], []],
        }
    ),
    "[]": list,
    "object()": Thing,
    "a set": lambda: {"a", "b"},
}
PATH: Values = {
    **_ANYTHING,
    **same(**{"3": 3, "''": "", "'a\\0b'": "a\0b", "True": True, "a name of 5,000 letters": "x" * 5000}),
    "a missing file": lambda: places() / "nowhere",
    "a path below a file": lambda: places() / "file.txt" / "below",
}
READ_FILE = {
    **PATH,
    "an empty folder": lambda: places() / "empty",
    "a text file": lambda: places() / "file.txt",
    "a pipe": lambda: places() / "pipe",
    "broken JSON": lambda: places() / "broken.json",
}
SAVE = {
    **{name: make for name, make in PATH.items() if name != "a missing file"},
    "a folder named .html": lambda: _folder_named("page.html"),
    "/proc/nowhere/page.html": lambda: Path("/proc/nowhere/page.html"),
}
CHECKPOINT = {
    **{name: make for name, make in PATH.items() if name not in ("None", "a missing file")},
    "a folder of the user's": lambda: places() / "full",
    "a text file": lambda: places() / "file.txt",
}


def _folder_named(name: str) -> Path:
    (places() / name).mkdir(exist_ok=True)
    return places() / name


MODEL: Values = {
    **_ANYTHING,
    **same(**{"'zoo:digits'": "zoo:digits", "3": 3, "nn.ReLU": nn.ReLU}),
    "a tensor": lambda: torch.zeros(2, 3, 16, 16),
    "a state dictionary": lambda: nn.Linear(2, 2).state_dict(),
    "a function": lambda: lambda x: x,
    "nn.ReLU()": nn.ReLU,
    "a network without classes": lambda: nn.Conv2d(3, 4, 3),
}
IMAGES: Values = {
    **{name: make for name, make in _ANYTHING.items() if name != "b'3'"},
    **same(**{"3": 3, "True": True, "''": "", "'nowhere'": "nowhere", "b'3'": b"3", "'a\\0b'": "a\0b"}),
    "an empty folder": lambda: places() / "empty",
    "a text file": lambda: places() / "file.txt",
    "a pipe": lambda: places() / "pipe",
    "no images": lambda: torch.zeros(0, 3, 16, 16),
    "one image": lambda: torch.zeros(3, 16, 16),
    "no pixels": lambda: torch.zeros(4, 3, 0, 16),
    "NaN": lambda: torch.full((4, 3, 16, 16), float("nan")),
    "0 to 255 as floats": lambda: torch.rand(4, 3, 16, 16) * 255,
    "normalised": lambda: torch.randn(4, 3, 16, 16),
    "whole numbers": lambda: torch.zeros(4, 3, 16, 16, dtype=torch.int64),
    "complex": lambda: torch.zeros(4, 3, 16, 16, dtype=torch.complex64),
    "no weights (meta)": lambda: torch.zeros(4, 3, 16, 16, device="meta"),
    "sparse": lambda: torch.zeros(4, 3, 16, 16).to_sparse(),
    "seven channels": lambda: torch.rand(8, 7, 16, 16),
    "an array of texts": lambda: np.array(["a", "b"]),
    "an array of objects": lambda: np.array([object(), object()], dtype=object),
    "a mixed list": lambda: [torch.zeros(3, 16, 16), "nowhere.png", 3],
    "a list of numbers": lambda: [1, 2, 3],
    "a list of lists": lambda: [[[0.0]], [[1.0]]],
    "a dictionary": lambda: {"train": torch.zeros(2, 3, 16, 16)},
    "a set": lambda: {"a.png"},
    "a generator that fails": raising_items,
    "an exhausted generator": lambda: iter([]),
    "a data set that fails": Failing,
    "a data set of nothing": lambda: Giving(None),
    "a data set of texts": lambda: Giving("nowhere.png"),
    "a data set of objects": lambda: Giving(Thing()),
    "a data set of dictionaries": lambda: Giving({"audio": 3}),
    "a function": lambda: raising,
    "nn.ReLU()": nn.ReLU,
}
IMAGE: Values = {
    **{name: make for name, make in _ANYTHING.items() if name != "b'3'"},
    **same(
        **{
            "3": 3,
            "True": True,
            "''": "",
            "'nowhere.png'": "nowhere.png",
            "b'no picture'": b"no picture",
            "'a\\0b'": "a\0b",
        }
    ),
    "a folder": lambda: places() / "empty",
    "a text file": lambda: places() / "file.txt",
    "a broken picture": lambda: places() / "broken.png",
    "a pipe": lambda: places() / "pipe",
    "several images": lambda: torch.zeros(2, 3, 16, 16),
    "no pixels": lambda: torch.zeros(3, 0, 16),
    "one number": lambda: torch.tensor(0.5),
    "NaN": lambda: torch.full((3, 16, 16), float("nan")),
    "0 to 255 as floats": lambda: torch.rand(3, 16, 16) * 255,
    "whole numbers": lambda: torch.zeros(3, 16, 16, dtype=torch.int64),
    "five channels": lambda: torch.zeros(5, 16, 16),
    "a list of images": lambda: [torch.zeros(3, 16, 16)] * 2,
    "a dictionary": lambda: {"image": torch.zeros(3, 16, 16)},
    "a function": lambda: raising,
    "nn.ReLU()": nn.ReLU,
}
BATCH = {
    name: make
    for name, make in {
        **IMAGE,
        "one image": lambda: torch.zeros(3, 16, 16),
        "no images": lambda: torch.zeros(0, 3, 16, 16),
        "five channels": lambda: torch.zeros(1, 5, 16, 16),
        "normalised": lambda: torch.randn(4, 3, 16, 16),
    }.items()
    if name not in ("several images", "a broken picture", "a pipe", "b'no picture'", "''", "'a\\0b'")
}
TARGET: Values = {
    **{name: make for name, make in _ANYTHING.items() if name != "None"},
    **same(**{"'nobody'": "nobody", "99": 99, "-1": -1, "1.5": 1.5, "True": True, "nan": float("nan"), "''": ""}),
    "[0]": lambda: [0],
}
GENERATOR: Values = {
    **_ANYTHING,
    **same(**{"3": 3, "'digits'": "digits", "nn.ReLU": nn.ReLU}),
    "a function": lambda: lambda z: z,
    "nn.ReLU()": nn.ReLU,
}
DEVICE: Values = {
    **{name: make for name, make in _ANYTHING.items() if name != "None"},
    **same(**{"'gpu'": "gpu", "'cuda:99'": "cuda:99", "''": "", "3.5": 3.5, "True": True}),
}
