"""A fit goes on with the images that it began with, wherever they come from, and with no others."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image
from toys import pictures, same_files, small_cnn

import likethat as lt
from likethat._progress import Progress
from likethat.errors import InputError

N = 70
READ = 64  # of them when it is stopped: two chunks


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=pictures(4))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return (pictures(N) * 255).round() / 255


@pytest.fixture(scope="module")
def folder(images: torch.Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose pictures nobody writes again."""
    path = tmp_path_factory.mktemp("photos")
    for place, image in enumerate(images):
        to_pil_image(image).save(path / f"{place:03}.png")
    return path


def stop_at_64(progress: Progress) -> None:
    if progress.done >= READ:
        raise KeyboardInterrupt


def stopped(model: lt.SplitModel, images: Any, left: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        lt.EPIC(2).fit(model, images, checkpoint=left, watch=stop_at_64)


def in_folder(folder: Path) -> Callable[[torch.Tensor], Any]:
    """Return a source of the pictures in a folder, rewritten where they are other ones."""

    def source(images: torch.Tensor) -> Path:
        for path, image in zip(sorted(folder.iterdir()), images, strict=True):
            if not np.array_equal(np.asarray(Image.open(path)), (image * 255).byte().permute(1, 2, 0).numpy()):
                to_pil_image(image).save(path)
        return folder

    return source


class Drawn:
    """A data set whose items are cut by chance."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index].roll(int(torch.randint(16, ())), -1)


def a_stream(images: torch.Tensor) -> Iterator[torch.Tensor]:
    yield from images


SOURCES: dict[str, Callable[[torch.Tensor], Any]] = {
    "tensor": lambda images: images,
    "bytes": lambda images: (images * 255).byte(),
    "array, channel last": lambda images: images.permute(0, 2, 3, 1).numpy(),
    "half": lambda images: images.half(),
    "list of pictures": lambda images: [to_pil_image(image) for image in images],
    "list of tensors": lambda images: lt.Images(list(images)),
    "data set": lambda images: [(image, 0) for image in images],
    "torch data set": lambda images: torch.utils.data.TensorDataset(images, torch.zeros(len(images))),
    "stream": a_stream,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*SOURCES, "folder", "list of paths"])
def test_one_other_picture_is_refused_and_the_same_ones_are_not(
    kind: str, model: lt.SplitModel, images: torch.Tensor, tmp_path: Path
) -> None:
    source = SOURCES.get(kind)
    if source is None:
        (tmp_path / "photos").mkdir()
        for number, image in enumerate(images):
            to_pil_image(image).save(tmp_path / "photos" / f"{number:03}.png")
        source = in_folder(tmp_path / "photos")
        if kind == "list of paths":
            within = source
            source = lambda images: sorted(within(images).iterdir())  # noqa: E731 - one line reads best
    stopped(model, source(images), tmp_path / "left")
    other = images.clone()
    other[17] = 1 - other[17]
    with pytest.raises(
        InputError, match=r"its images differ in their (pixels|sizes)|must be those that the checkpoint"
    ):
        lt.EPIC(2).fit(model, source(other), checkpoint=tmp_path / "left", resume=True)
    if "folder" in kind or "paths" in kind:
        return  # written back they have another time
    reports: list[Progress] = []
    lt.EPIC(2).fit(model, source(images), checkpoint=tmp_path / "left", resume=True, watch=reports.append)
    assert [report.done for report in reports if report.stage == "reading images"] == [N]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["data set", "stream"])
def test_looking_at_images_again_changes_no_byte(
    kind: str, model: lt.SplitModel, images: torch.Tensor, tmp_path: Path
) -> None:
    source = SOURCES[kind]
    stopped(model, source(images), tmp_path / "left")
    whole = lt.EPIC(2).fit(model, source(images)).save(tmp_path / "whole")
    resumed = lt.EPIC(2).fit(model, source(images), checkpoint=tmp_path / "left", resume=True, batch_size=7)
    assert same_files(whole, resumed.save(tmp_path / "resumed"))


@pytest.mark.slow
def test_a_folder_that_nobody_touched_goes_on(model: lt.SplitModel, folder: Path, tmp_path: Path) -> None:
    stopped(model, folder, tmp_path / "left")
    whole = lt.EPIC(2).fit(model, folder).save(tmp_path / "whole")
    resumed = lt.EPIC(2).fit(model, folder, checkpoint=tmp_path / "left", resume=True)
    assert same_files(whole, resumed.save(tmp_path / "resumed"))


def test_a_file_of_the_same_size_written_later_is_another(model: lt.SplitModel, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "photos"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    stopped(model, copy, tmp_path / "left")
    os.utime(copy / "069.png", ns=(0, 1))
    with pytest.raises(InputError, match="its images differ in their sizes and times"):
        lt.EPIC(2).fit(model, copy, checkpoint=tmp_path / "left", resume=True)
    (copy / "069.png").unlink()
    with pytest.raises(InputError, match=r"its images differ in their number \(70 then, 69 now\)"):
        lt.EPIC(2).fit(model, copy, checkpoint=tmp_path / "left", resume=True)


def test_other_labels_and_names_are_other_images(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    labels = [place % 3 for place in range(N)]
    stopped(model, lt.Images(images, labels=labels), tmp_path / "left")
    for given, what in (({"labels": [2, *labels[1:]]}, "labels"), ({"labels": labels, "names": ["a"] * N}, "names")):
        with pytest.raises(InputError, match=f"its images differ in their {what}"):
            lt.EPIC(2).fit(model, lt.Images(images, **given), checkpoint=tmp_path / "left", resume=True)


def test_other_labels_of_a_data_set_are_seen(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    stopped(model, [(image, 0) for image in images], tmp_path / "left")
    pairs = [(image, int(place == READ - 1)) for place, image in enumerate(images)]
    with pytest.raises(InputError, match="image 63 is not what it was"):
        lt.EPIC(2).fit(model, pairs, checkpoint=tmp_path / "left", resume=True)


@pytest.mark.slow
def test_other_creatures_are_seen(tmp_path: Path) -> None:
    model = lt.load("zoo:creatures")
    stopped(model, lt.creatures(n=N, seed=0), tmp_path / "left")
    with pytest.raises(InputError, match="is not what it was"):
        lt.EPIC(2).fit(model, lt.creatures(n=N, seed=1), checkpoint=tmp_path / "left", resume=True)


def test_a_data_set_that_cuts_by_chance_cannot_go_on(
    model: lt.SplitModel, images: torch.Tensor, tmp_path: Path
) -> None:
    stopped(model, Drawn(images), tmp_path / "left")
    with pytest.raises(InputError, match=r"image 0 is not what it was.* without random changes"):
        lt.EPIC(2).fit(model, Drawn(images), checkpoint=tmp_path / "left", resume=True)


def test_a_stream_that_is_shorter_now(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    stopped(model, a_stream(images), tmp_path / "left")
    with pytest.raises(InputError, match="image 5 is not what it was"):
        lt.EPIC(2).fit(model, a_stream(images[:5]), checkpoint=tmp_path / "left", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_a_damaged_shard_costs_what_it_held_and_what_came_after(
    damaged: int, model: lt.SplitModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("likethat._checkpoint.Checkpoint.is_due", lambda _: True)
    whole = lt.EPIC(2).fit(model, folder, checkpoint=tmp_path / "left")
    shards = sorted((tmp_path / "left").glob("shard-*"))
    assert len(shards) == 3
    data = bytearray(shards[damaged].read_bytes())
    data[-1] ^= 1
    shards[damaged].write_bytes(data)
    reports: list[Progress] = []
    with pytest.warns(UserWarning, match=f"shard-00000{damaged}.safetensors is damaged"):
        again = lt.EPIC(2).fit(model, folder, checkpoint=tmp_path / "left", resume=True, watch=reports.append)
    read = [report.done for report in reports if report.stage == "reading images"]
    assert read == [32, 64, 70][damaged:]
    assert same_files(whole.save(tmp_path / "whole"), again.save(tmp_path / "again"))


@pytest.mark.slow
def test_shards_that_a_later_pass_did_not_write_are_not_read(
    model: lt.SplitModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shard 0 is damaged; the pass that goes on writes one shard of all images, and shards 1 and 2 still lie there."""
    monkeypatch.setattr("likethat._checkpoint.Checkpoint.is_due", lambda _: True)
    lt.EPIC(2).fit(model, folder, checkpoint=tmp_path / "left")
    (tmp_path / "left" / "shard-000000.safetensors").write_bytes(b"")
    monkeypatch.setattr("likethat._checkpoint.Checkpoint.is_due", lambda _: False)
    with pytest.warns(UserWarning, match="is damaged"), pytest.raises(KeyboardInterrupt):
        lt.EPIC(2).fit(model, folder, checkpoint=tmp_path / "left", resume=True, watch=stop_at_64)
    reports: list[Progress] = []
    again = lt.EPIC(2).fit(model, folder, checkpoint=tmp_path / "left", resume=True, watch=reports.append)
    assert [report.done for report in reports if report.stage == "reading images"] == [70]
    whole = lt.EPIC(2).fit(model, folder)
    assert same_files(whole.save(tmp_path / "whole"), again.save(tmp_path / "again"))
