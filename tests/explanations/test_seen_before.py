"""Whether a bank has seen a picture, or anything like it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import toys

import likethat as lt
from likethat.errors import BankFormatError, ModelError


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    images = toys.pictures(120)
    return lt.EPIC(n_prototypes=3).fit(lt.split(toys.small_cnn(), example=images[:2]), images)


@pytest.mark.parametrize("saved", [False, True])
def test_a_picture_is_no_prototype_of_itself(saved: bool, bank: lt.Bank, tmp_path: Path) -> None:
    if saved:
        bank = lt.open_bank(bank.save(tmp_path / "bank"), bank.model)
    index = next(item.index for item in bank.prototypes if item.kind == "positive")
    image = toys.pictures(120)[index]
    key = f"image-{index:07d}"
    shown = bank.explain(image, top=16)
    assert any(item.image == key for row in shown.rows for item in bank.prototypes_of(row.unit))
    assert all(item.image != key for row in shown.rows for item in row.prototypes)
    assert any("one of those that the bank was made from" in text for text in shown.warnings)
    eight_bit = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()  # the same picture out of a PNG
    assert all(item.image != key for row in bank.explain(eight_bit, top=16).rows for item in row.prototypes)
    other = bank.explain(toys.pictures(1, seed=5)[0], top=16)
    assert not any("one of those" in text for text in other.warnings)
    assert all(row.prototypes == bank.prototypes_of(row.unit) for row in other.rows)


@pytest.mark.slow
def test_another_kind_of_picture_is_said(bank: lt.Bank, tmp_path: Path) -> None:
    again = lt.open_bank(bank.save(tmp_path / "bank"), bank.model)
    negatives = 1 - toys.pictures(20, seed=3)
    for opened in (bank, again):
        said = [any("unlike" in text for text in opened.explain(image).warnings) for image in negatives]
        assert sum(said) >= 18  # of 20: one lies at the limit, and the last digits of a machine decide
        alike = toys.pictures(100, seed=9)
        assert sum(any("unlike" in text for text in opened.explain(image).warnings) for image in alike) <= 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"class_names": ["owl", "gull", "finch"]}, "manifest.json was cut short or changed"),
        ({"library": "other"}, "manifest.json does not fit"),
    ],
)
def test_a_changed_manifest_is_refused(change: dict[str, Any], what: str, bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(BankFormatError, match=what):
        lt.open_bank(path)


def test_a_changed_picture_is_refused(bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    opened = lt.open_bank(path)
    first, second = sorted((path / "images").iterdir())[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(BankFormatError, match=f"the picture {first.name} of this bank was cut short or changed"):
        lt.open_bank(path)
    with pytest.raises(BankFormatError, match="was cut short or changed"):
        opened.images[first.stem]


def test_a_bank_of_an_earlier_likethat_opens(bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["digest"]
    manifest["sha256"] = {name: value for name, value in manifest["sha256"].items() if "/" not in name}
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert lt.open_bank(path).class_names == bank.class_names


def test_an_explanation_of_a_changed_network_is_refused(bank: lt.Bank) -> None:
    network = toys.small_cnn()
    images = toys.pictures(60)
    fitted = lt.EPIC(n_prototypes=3).fit(lt.split(network, example=images[:2]), images)
    with torch.no_grad():
        network[0].weight.mul_(1.1)
    for call in (fitted.explain, fitted.contrast):
        with pytest.raises(ModelError, match="have changed since"):
            call(images[0])
    with pytest.raises(ModelError, match="have changed since"):
        lt.EPIC(n_prototypes=3).fit(fitted.model, images)


def test_what_does_not_add_up_is_refused_though_no_weight_was_touched(bank: lt.Bank) -> None:
    class Drifting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = toys.small_cnn()
            self.factor = 1.0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(images) * self.factor
            return logits

    network = Drifting().eval()
    images = toys.pictures(60)
    fitted = lt.EPIC(n_prototypes=3).fit(lt.split(network, example=images[:2]), images)
    fitted.explain(images[0])
    network.factor = 1.001
    with pytest.raises(ModelError, match="must add up to the network's own logit"):
        fitted.explain(images[0])


def test_half_precision_rounds_and_hides_nothing(bank: lt.Bank) -> None:
    class Drifting(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = toys.small_cnn().bfloat16()
            self.offset = 0.0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(images) + self.offset
            return logits

    network = Drifting().eval()
    images = toys.pictures(60)
    fitted = lt.EPIC(n_prototypes=3).fit(lt.split(network, example=images[:2]), images)
    assert "rounding in bfloat16" in fitted.explain(images[0]).remainder_terms
    network.offset = 1.0
    with pytest.raises(ModelError, match="within what bfloat16 rounds"):
        fitted.explain(images[0])


@pytest.mark.slow
def test_rows_without_a_prototype_are_said() -> None:
    bank = lt.PartPrototypes().fit(lt.load("zoo:digits"), lt.Images([lt.digits()[0].image] * 8))
    other = next(bank.class_names[c] for c in range(10) if c != bank.explain(lt.digits()[0].image).predicted)
    why = bank.explain(lt.digits()[0].image, other)
    assert not any(row.prototypes for row in why.rows)
    assert f"the images given hold no other one of {other!r}. Give images of it." in " ".join(why.warnings)
