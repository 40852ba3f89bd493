"""Nothing that likethat did not write is deleted or replaced, whoever writes and whatever lies there."""

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

import likethat as lt
from likethat.errors import LikethatError
from robustness_cases import REFUSED, RIGHT, case, expect

USERS = "the user's own"
Writer = Callable[[Path], Any]


def _images() -> Tensor:
    return torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def _table() -> pd.DataFrame:
    return pd.DataFrame({"age": [20.0, 30.0, 45.0, 61.0] * 5, "sex": ["f", "m", "m", "f"] * 5})


@cache
def _model() -> lt.SplitModel:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    return lt.split(nn.Sequential(*layers).eval(), example=_images())


@cache
def _bank() -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(_model(), _images())


@cache
def _generator() -> Any:
    return lt.train_generator(_table(), kind="table", epochs=1)


@cache
def _found() -> Any:
    box = lt.BlackBox(lambda rows: [[0.3, 0.7]] * len(rows))
    return lt.Exemplars(_generator()).search(box, 1, n=1)


def _fit(method: Any, folder: Path) -> None:
    method.fit(_model(), _images(), checkpoint=folder)


def _train(data: Any, options: dict[str, Any], folder: Path) -> None:
    lt.train_generator(data, checkpoint=folder, **options)


WRITERS: dict[str, Writer] = {
    "bank.save": lambda folder: _bank().save(folder, overwrite=True),
    "generator.save": lambda folder: _generator().save(folder, overwrite=True),
    "ExemplarSet.save": lambda folder: _found().save(folder, overwrite=True),
    "EPIC().fit(checkpoint=)": partial(_fit, lt.EPIC(n_prototypes=2)),
    "PartPrototypes().fit(checkpoint=)": partial(_fit, lt.PartPrototypes(n_parts=2)),
    "train_generator(images, checkpoint=)": partial(_train, _images(), {"steps": 2}),
    "train_generator(images, algorithm='flow', checkpoint=)": partial(
        _train, _images(), {"algorithm": "flow", "steps": 2}
    ),
    "train_generator(table, checkpoint=)": partial(_train, _table(), {"kind": "table", "epochs": 1}),
    "train_generator(texts, checkpoint=)": partial(_train, ["a b c", "b c d"] * 9, {"kind": "text", "epochs": 1}),
}
MARKERS = ("manifest.json", "generator.json", "exemplars.json", "checkpoint.json", "training.safetensors")
FOREIGN: dict[str, tuple[str, ...]] = {
    "photos and a thesis": ("thesis.txt", "photos/one.jpg"),
    "files called like all of our markers": MARKERS,
}


def _place() -> Path:
    return Path(tempfile.mkdtemp()) / "mine"


def _laid(names: tuple[str, ...]) -> Path:
    folder = _place()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(USERS, encoding="utf-8")
    return folder


def _expect_there(folder: Path, names: tuple[str, ...]) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expect(sorted(found), sorted(names), "the files in the user's folder")
    expect({(folder / name).read_text(encoding="utf-8") for name in names}, {USERS}, "what the user's files hold")


def _refused(write: Writer, names: tuple[str, ...]) -> None:
    folder = _laid(names)
    try:
        write(folder)
    except LikethatError as error:
        expect("in use" in str(error), True, f"whether the folder is the reason in {str(error)!r}")
        raise
    finally:
        _expect_there(folder, names)


def _beside_ours(write: Writer) -> None:
    """Our own folder, into which the user has put a note."""
    folder = _place()
    write(folder)
    (folder / "note.txt").write_text(USERS, encoding="utf-8")
    try:
        write(folder)
    finally:
        expect((folder / "note.txt").read_text(encoding="utf-8"), USERS, "the user's note")


def _again(write: Writer) -> None:
    """Our own folder is replaced, an empty one of the user filled or left."""
    folder = _place()
    folder.mkdir()
    write(folder)
    write(folder)
    expect(folder.is_dir(), True, "whether the user's folder is still there")


def _file(write: Writer) -> None:
    place = _place()
    place.write_text(USERS, encoding="utf-8")
    try:
        write(place)
    finally:
        expect(place.read_text(encoding="utf-8"), USERS, "the user's file")


for _name, _write in WRITERS.items():
    for _what, _names in FOREIGN.items():
        case("foreign folders", f"{_name} on a folder with {_what}", accepts=REFUSED)(partial(_refused, _write, _names))
    case("foreign folders", f"{_name} twice on one folder", accepts=RIGHT)(partial(_again, _write))
    case("foreign folders", f"{_name} on a file", accepts=REFUSED)(partial(_file, _write))
    if _name.endswith(".save"):
        case("foreign folders", f"{_name} on what it wrote and a note of the user", accepts=REFUSED)(
            partial(_beside_ours, _write)
        )


@case("foreign folders", "a file put into a checkpoint while it is in use stays", accepts=RIGHT)
def _() -> None:
    folder = _place()

    def put(_: Any) -> None:
        (folder / "note.txt").write_text(USERS, encoding="utf-8")

    bank = lt.EPIC(n_prototypes=2).fit(_model(), _images(), checkpoint=folder, watch=put)
    bank.save(folder.with_name("bank"))  # the checkpoint goes when the bank stands
    _expect_there(folder, ("note.txt",))


@case("foreign folders", "a link `latest` to a bank is kept and the bank it leads to replaced", accepts=RIGHT)
def _() -> None:
    first = _place()
    _bank().save(first)
    link = first.with_name("latest")
    link.symlink_to(first)
    _bank().save(link, overwrite=True)
    expect(link.is_symlink(), True, "whether the link is still one")
    expect(lt.open_bank(first).n_units, 4, "units of the bank")
