"""A bank on disk, and what it says of wrong calls."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import pictures, same_files, small_cnn

import likethat as lt
from likethat._documents import Damaged, digest_of
from likethat.errors import BankError, BankFormatError, BankMismatchError, InputError, StorageError, TargetError
from likethat.explanations.rows import check_prototype

pytestmark = pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return pictures(60)


@pytest.fixture(scope="module")
def model(images: torch.Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee <b>", "café"))


@pytest.fixture(scope="module")
def bank(model: lt.SplitModel, images: torch.Tensor) -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(model, lt.Images(images, labels=[i % 3 for i in range(60)]))


def test_opens_as_it_was_saved(bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    opened = lt.open_bank(bank.save(tmp_path / "bank"), model)
    assert opened.prototypes == bank.prototypes
    assert opened.class_names == bank.class_names
    assert opened.provenance == bank.provenance
    assert torch.equal(opened.mixing, bank.mixing)
    assert np.array_equal(opened.usage, bank.usage)
    assert all(np.array_equal(opened.images[key], bank.images[key]) for key in bank.images)
    first, second = bank.explain(images[3]), opened.explain(images[3])
    assert np.array_equal(first.contributions, second.contributions)
    assert same_files(tmp_path / "bank", opened.save(tmp_path / "again"))


def test_saving_over_itself_keeps_it_whole(bank: lt.Bank, tmp_path: Path) -> None:
    opened = lt.open_bank(bank.save(tmp_path / "bank"))
    opened.save(tmp_path / "bank", overwrite=True)
    assert len(lt.open_bank(tmp_path / "bank").images) == len(bank.images)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank"]


def test_browses_without_a_model(bank: lt.Bank, images: torch.Tensor, tmp_path: Path) -> None:
    opened = lt.open_bank(bank.save(tmp_path / "bank"))
    assert opened.purity == pytest.approx(bank.purity)
    with pytest.raises(BankError, match="opened without its model"):
        opened.explain(images[0])


def test_refuses_another_model(bank: lt.Bank, images: torch.Tensor, tmp_path: Path) -> None:
    other = lt.split(small_cnn(seed=1), example=images[:4])
    with pytest.raises(BankMismatchError, match="must be the one the bank was made from"):
        lt.open_bank(bank.save(tmp_path / "bank"), other)


@pytest.mark.parametrize("name", ["tensors.safetensors", "prototypes.jsonl", "manifest.json"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_bank_cut_short(name: str, keep: float, bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: int(keep * len(data))])
    with pytest.raises(BankFormatError, match="is damaged"):
        lt.open_bank(path)


def test_a_missing_file_or_picture(bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    next((path / "images").iterdir()).unlink()
    with pytest.raises(BankFormatError, match="pictures were saved"):
        lt.open_bank(path)
    (path / "tensors.safetensors").unlink()
    with pytest.raises(BankFormatError, match=r"tensors\.safetensors is missing"):
        lt.open_bank(path)
    with pytest.raises(BankFormatError, match=r"holds no manifest\.json"):
        lt.open_bank(tmp_path / "nowhere")


def test_a_newer_schema(bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(
        BankFormatError, match=r"schema version 99 \(written by likethat [^)]*\), this likethat reads up to 1"
    ):
        lt.open_bank(path)


def test_a_full_disk_leaves_the_earlier_bank(bank: lt.Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bank.save(tmp_path / "bank")
    before = (path / "tensors.safetensors").read_bytes()

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(StorageError, match=r"could not be written \(No space left on device\)"):
            bank.save(path, overwrite=True)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bank"]
    assert (path / "tensors.safetensors").read_bytes() == before
    lt.open_bank(path)


def test_an_earlier_bank_is_replaced_only_where_that_is_said(bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    (tmp_path / "latest").symlink_to("bank")
    for place in (path, tmp_path / "latest"):
        before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
        with pytest.raises(InputError, match="which likethat wrote before"):
            bank.save(place)
        assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
        bank.save(place, overwrite=True)
    assert (tmp_path / "latest").is_symlink()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bank", "latest"]


@pytest.mark.parametrize("kind", ["file", "fifo", "link to a foreign folder", "loop"])
def test_a_place_that_is_taken_is_left_as_it_is(bank: lt.Bank, kind: str, tmp_path: Path) -> None:
    place = tmp_path / "bank"
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text("{}")
    make = {"file": lambda: place.write_text("x"), "fifo": lambda: os.mkfifo(place)}
    make |= {"link to a foreign folder": lambda: place.symlink_to("foreign"), "loop": lambda: place.symlink_to("bank")}
    make[kind]()
    before = place.lstat()
    with pytest.raises(InputError, match="`path` must"):
        bank.save(place, overwrite=True)
    assert place.lstat().st_ino == before.st_ino
    assert sorted(item.name for item in tmp_path.iterdir()) == ["bank", "foreign"]
    assert (tmp_path / "foreign" / "manifest.json").read_text() == "{}"


def test_does_not_replace_what_is_no_bank(bank: lt.Bank, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="which is in use"):
        bank.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (3, "must be from 0 to 2, got 3"),
        (-1, "got -1"),
        ("dog", "It knows 'ant'"),
        (1.5, "class index or a class name"),
    ],
)
def test_targets_that_are_none(target: Any, message: str, bank: lt.Bank, images: torch.Tensor) -> None:
    with pytest.raises(TargetError, match=message):
        bank.explain(images[0], target)


def test_target_by_name_and_index(bank: lt.Bank, images: torch.Tensor) -> None:
    assert bank.explain(images[0], "café").logit == bank.explain(images[0], 2).logit


def test_contrast_is_the_difference(bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor) -> None:
    logits = model.logits(images[:1])[0].detach()
    why = bank.contrast(images[0], 0, 2)
    assert why.logit == pytest.approx(float(logits[0] - logits[2]), rel=1e-4, abs=1e-6)
    assert abs(why.gap()) < 1e-4
    sizes = [abs(row.total) for row in why.rows]
    assert sizes == sorted(sizes, reverse=True)
    best, second = logits.sort(descending=True).indices[:2].tolist()
    default = bank.contrast(images[0])
    assert (default.target, default.against) == (best, second)
    with pytest.raises(InputError, match="must be another class"):
        bank.contrast(images[0], 1, 1)


def test_coverage_and_rest_by_hand(bank: lt.Bank, images: torch.Tensor) -> None:
    why = bank.explain(images[0], top=2)
    positive = why.contributions[why.contributions > 0].sum()
    top = np.sort(why.contributions)[::-1][:2]
    assert why.coverage == pytest.approx(float(top[top > 0].sum() / positive), rel=1e-5)
    assert why.rest == pytest.approx(float(why.contributions.sum() - top.sum()), rel=1e-3, abs=1e-5)
    assert len(bank.explain(images[0], top=1000).rows) == bank.n_units


def test_one_image_in_many_forms(bank: lt.Bank, images: torch.Tensor, tmp_path: Path) -> None:
    from PIL import Image

    array = (images[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(array).save(tmp_path / "picture.png")
    forms = [
        array,
        Image.fromarray(array),
        tmp_path / "picture.png",
        str(tmp_path / "picture.png"),
        torch.from_numpy(array).permute(2, 0, 1).float() / 255,
    ]
    logits = {round(bank.explain(form, 0).logit, 5) for form in forms}
    assert len(logits) == 1
    assert bank.explain(images[:1], 0).logit == bank.explain(images[0], 0).logit
    with pytest.raises(InputError, match=r"`image` must be an image file, got nowhere\.png, which does not exist"):
        bank.explain("nowhere.png")
    with pytest.raises(InputError, match="got the folder"):
        bank.explain(tmp_path)
    with pytest.raises(InputError, match="got a batch of 2"):
        bank.explain(images[:2])


def test_labels_and_predictions_are_noted(bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor) -> None:
    predicted = model.logits(images).detach().argmax(1)
    assert all(item.label == item.index % 3 for item in bank.prototypes)
    assert all(item.predicted == int(predicted[item.index]) for item in bank.prototypes)


def test_an_explanation_says_what_its_bank_was_warned_of(bank: lt.Bank, images: torch.Tensor) -> None:
    assert bank.provenance.warning.startswith("The model gives only")
    why = bank.explain(images[0])
    assert why.warnings[0] == bank.provenance.warning
    assert str(why).startswith(f"<Explanation of {why.target_name!r} for ")
    assert len(str(why)) < 300  # no arrays
    assert len(str(why.rows[0])) < 300


def test_made_images_are_said_to_be_made_and_an_older_bank_is_completed(model: lt.SplitModel, tmp_path: Path) -> None:
    generator = lt.load_generator(lambda latents: latents.sigmoid().reshape(-1, 3, 16, 16), latent_dim=768)
    made = lt.EPIC(n_prototypes=2).fit(model, lt.Generated(generator, 40))
    assert (made.provenance.is_made, made.provenance.unit) == (True, "channel")
    folder = made.save(tmp_path / "bank")
    assert lt.open_bank(folder).provenance == made.provenance

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for name in ("is_made", "unit"):
        del manifest["provenance"][name]
    for method, is_made in (("EPIC", False), ("ProDG", True)):
        manifest["provenance"]["method"] = method
        manifest["digest"] = digest_of(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        assert lt.open_bank(folder).provenance.is_made is is_made


@pytest.mark.parametrize("name", ["why.jsonl", "why.xlsx", "why.txt"])
def test_an_explanation_is_no_other_file(name: str, bank: lt.Bank, images: torch.Tensor, tmp_path: Path) -> None:
    why = bank.explain(images[0])
    with pytest.raises(InputError, match=r"must end in \.html for a page, in \.png, \.svg or \.pdf"):
        why.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "begins"), [("why.png", b"\x89PNG"), ("why.svg", b"<?xml"), ("WHY.PDF", b"%PDF")])
def test_results_are_saved_as_figures(
    name: str, begins: bytes, bank: lt.Bank, images: torch.Tensor, tmp_path: Path
) -> None:
    for result in (bank, bank.explain(images[0])):
        assert result.save(tmp_path / name).read_bytes().startswith(begins)


def test_a_bank_is_no_text_file_but_a_folder_may_have_a_dot(bank: lt.Bank, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"or a folder's name without an ending, got 'bank\.txt'"):
        bank.save(tmp_path / "bank.txt")
    assert lt.open_bank(bank.save(tmp_path / "bank.v2")).n_units == bank.n_units


@pytest.mark.parametrize(
    ("region", "is_whole"),
    [("", True), ("2x3:a4", True), ("3x3:a400", True), ("2x3:", False), ("2x3:a400", False), ("3x3:a4", False),
     ("2x3:zz", False), ("0x3:", False), ("99999x99999:00", False), ("1x3:a0", False), ("2x1:80", False)],
)  # fmt: skip
def test_a_region_that_is_none_is_refused(region: str, is_whole: bool) -> None:
    """It is unpacked when a page is made, so what anybody may have written there must be a grid that holds the peak."""
    item = lt.Prototype(
        unit=0, rank=0, kind="positive", source="a", index=0, image="a", cell=(1, 1), box=(0, 0, 2, 2), activation=1.0,
        peak=1.0, purity=1.0, region=region,
    )  # fmt: skip
    if is_whole:
        check_prototype(item, 1, 1, {"a"})
        assert item.cells().sum() == {"": 0, "2x3:a4": 3, "3x3:a400": 3}[region]
    else:
        with pytest.raises(Damaged, match="has the region"):
            check_prototype(item, 1, 1, {"a"})


@torch.no_grad()
def test_a_row_that_supplies_by_a_negative_activation_shows_where_it_is_lowest() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 4, stride=4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    ).eval()  # no ReLU: a channel tells classes apart by both signs
    images = torch.rand(40, 3, 16, 16) * torch.rand(40, 3, 1, 1)
    bank = lt.EPIC().fit(lt.split(network, preprocess=None, example=images[:2]), images)
    signs = set()
    for image in images[:10]:
        for row in bank.explain(image, top=6).rows:
            is_low = row.activation < 0
            flat = row.activation_map.ravel()
            assert row.cell[0] * 4 + row.cell[1] == (flat.argmin() if is_low else flat.argmax())
            assert {item.kind for item in row.prototypes} == {"negative" if is_low else "positive"}
            signs.add(is_low)
    assert signs == {False, True}
