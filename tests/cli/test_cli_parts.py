"""``likethat fit parts``: found and marked parts, and wrong words."""

from pathlib import Path

import numpy as np
import pytest
from command_line import fit_words, likethat
from PIL import Image

import likethat as lt


def parts_words(folder: Path, weights: Path, out: Path) -> list[object]:
    words = fit_words(folder, weights, out)
    words[1] = "parts"
    return words


@pytest.mark.slow
def test_fits_and_explains(folder: Path, weights: Path, tmp_path: Path) -> None:
    result = likethat(*parts_words(folder, weights, tmp_path / "bank"), "--n-parts", 2, "--labels", "predicted")
    assert result.exit_code == 0, result.stderr
    assert "PartPrototypes" in result.stdout
    assert lt.open_bank(tmp_path / "bank").provenance.options["algorithm"] == "ownership"

    bank, page = lt.open_bank(tmp_path / "bank"), tmp_path / "classes.html"
    assert likethat("show", tmp_path / "bank", "--by-class", "--out", page).exit_code == 0
    every = page.read_text(encoding="utf-8")
    assert all(f">{name}</h2>" in every for name in bank.class_names)
    one = likethat("show", tmp_path / "bank", "--by-class", "--class", bank.class_names[1], "--out", page)
    assert one.exit_code == 0, one.stderr
    shown = page.read_text(encoding="utf-8")
    assert [f">{name}</h2>" in shown for name in bank.class_names[:2]] == [False, True]
    alone = likethat("show", tmp_path / "bank", "--class", bank.class_names[1], "--out", page)
    assert (alone.exit_code, "Add --by-class" in " ".join(alone.stderr.split())) == (2, True)


@pytest.mark.slow
def test_marks_name_the_parts(folder: Path, weights: Path, tmp_path: Path) -> None:
    for file in sorted(folder.rglob("*.png"))[:12]:
        brightest = np.asarray(Image.open(file)).max(axis=2) > 230
        mask = tmp_path / "masks" / "square" / f"{file.stem}.png"
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(brightest.astype(np.uint8) * 255).save(mask)
    result = likethat(*parts_words(folder, weights, tmp_path / "bank"), "--marks", tmp_path / "masks")
    assert result.exit_code == 0, result.stderr
    assert {name.split(", ")[1] for name in lt.open_bank(tmp_path / "bank").unit_names} <= {"square", "surroundings"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--n-parts", "many"], "must be a whole number of at least 1, or 'auto', got 'many'"),
        (["--marks", "nowhere.json"], "does not exist"),
        (["--marks", "truth:5"], "truth:N for zoo:creatures"),
        (["--marks", "nowhere.json", "--algorithm", "shared"], "must be left out with --marks"),
    ],
    ids=str,
)
def test_wrong_words(words: list[str], message: str, folder: Path, weights: Path, tmp_path: Path) -> None:
    result = likethat(*parts_words(folder, weights, tmp_path / "bank"), *words)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
