"""Class pages, and what an explanation says of its surroundings."""

from pathlib import Path

import pytest
import torch
from toys import pictures, small_cnn

import likethat as lt
from likethat.errors import BankError, TargetError
from likethat.report import save_classes


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return pictures(60)


@pytest.fixture(scope="module")
def model(images: torch.Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee <b>", "café"))


@pytest.mark.slow
def test_a_page_shows_every_part_and_the_curve(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    bank = lt.PartPrototypes("auto", n_prototypes=2).fit(model, images, labels=[index % 3 for index in range(60)])
    text = save_classes(bank, tmp_path / "classes.html").read_text(encoding="utf-8")
    assert text.count('class="unit card"') == bank.n_units
    assert "ant, part 1" in text
    assert "bee &lt;b&gt;" in text
    assert text.count("(chosen)") == 3
    assert "agreement between halves" in text
    assert "stable between starts" in text
    one = save_classes(bank, tmp_path / "one.html", ["café"]).read_text(encoding="utf-8")
    assert "ant, part 1</h3>" not in one
    with pytest.raises(TargetError, match="must be a class of the model, got 'dog'"):
        save_classes(bank, tmp_path / "x.html", ["dog"])


def test_twins_are_shown_together(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    """Classes with the same images have the same parts."""
    labels = [index // 2 % 2 for index in range(60)]
    doubled = images[[index // 4 for index in range(60)]]
    bank = lt.PartPrototypes(2, n_prototypes=2).fit(model, doubled, labels=labels)
    text = save_classes(bank, tmp_path / "classes.html", [0]).read_text(encoding="utf-8")
    assert "nearly the same as: bee &lt;b&gt;, part" in text


@pytest.mark.slow
def test_an_explanation_says_what_the_surroundings_supply(
    model: lt.SplitModel, images: torch.Tensor, tmp_path: Path
) -> None:
    marks = lt.Marks.of({index: {"square": (images[index].amax(0) > 0.9).numpy()} for index in range(20)})
    bank = lt.PartPrototypes(algorithm="named", n_prototypes=2).fit(model, images, parts=marks)
    text = bank.explain(images[0]).save(tmp_path / "why.html").read_text(encoding="utf-8")
    assert "of the evidence that speaks for it comes from the surroundings" in text
    assert bank.save(tmp_path / "bank.html").exists()


def test_a_bank_of_channels_has_no_class_pages(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    bank = lt.EPIC(n_prototypes=2).fit(model, images)
    with pytest.raises(BankError, match="a bank of EPIC has no classes' parts"):
        save_classes(bank, tmp_path / "classes.html")
