"""A disk that does not take one of the files leaves what stood there before, whichever file it is."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import pictures, small_cnn

import likethat as lt
from likethat.errors import StorageError


@contextmanager
def files_of_at_most(n: int) -> Iterator[None]:
    """Let this process write no file of more than some bytes, as a disk with no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def a_bank() -> lt.Bank:
    images = pictures(20)
    return lt.EPIC(2).fit(lt.split(small_cnn(), example=images[:4]), images)


def an_explanation() -> Any:
    return a_bank().explain(pictures(1)[0])


def a_generator() -> Any:
    return lt.train_generator([f"a text of number {place}" for place in range(40)], kind="text", epochs=1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random
@pytest.mark.parametrize("make", [a_bank, an_explanation, a_generator])
def test_the_earlier_folder_stays_whichever_file_the_disk_refuses(make: Callable[[], Any], tmp_path: Path) -> None:
    made = make()
    path = made.save(tmp_path / "mine")
    before = {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    sizes = sorted({len(data) for data in before.values()})
    assert len(sizes) >= 4
    for size in sizes:
        with files_of_at_most(size - 1), pytest.raises(StorageError, match="could not be written"):
            made.save(path, overwrite=True)
        assert {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
        assert [one.name for one in tmp_path.iterdir()] == ["mine"]
    made.save(path, overwrite=True)


@pytest.mark.slow
def test_the_checkpoint_stays_where_the_disk_refuses_the_bank(tmp_path: Path) -> None:
    images = pictures(40)
    model = lt.split(small_cnn(), example=images[:4])
    bank = lt.EPIC(2).fit(model, images, checkpoint=tmp_path / "left")
    with files_of_at_most(0), pytest.raises(StorageError):
        bank.save(tmp_path / "bank")
    assert [one.name for one in tmp_path.iterdir()] == ["left"]
    again = lt.EPIC(2).fit(model, images, checkpoint=tmp_path / "left", resume=True)
    assert torch.equal(again.mixing, bank.mixing)
    again.save(tmp_path / "bank")
    assert [one.name for one in tmp_path.iterdir()] == ["bank"]
