"""Nothing that likethat did not write is deleted or replaced."""

import tempfile
from pathlib import Path

import torch

import likethat as lt
from robustness_cases import EITHER, case, expect


def _folder_with(*names: str) -> Path:
    folder = Path(tempfile.mkdtemp()) / "mine"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


def _still_there(folder: Path, *names: str) -> None:
    expect(sorted(path.name for path in folder.iterdir()), sorted(names), "what lies in the user's folder")
    expect([(folder / name).read_text() for name in names], ["{}"] * len(names), "what is in the files")


@case("foreign folders", "train_generator(checkpoint=a folder of the user's) leaves it alone", accepts=EITHER)
def _() -> None:
    folder = _folder_with("thesis.txt", "photo.jpg")
    try:
        lt.train_generator(torch.rand(8, 1, 8, 8), kind="image", epochs=1, checkpoint=folder)
    finally:
        _still_there(folder, "thesis.txt", "photo.jpg")
