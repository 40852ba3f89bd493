"""A model of the user's own, from a file of code and a file of weights: fitted, and opened again."""

import shutil
from pathlib import Path

import pytest
from command_line import likethat
from toys import same_files

import likethat as lt

CODE = """
from pathlib import Path
from torch import nn

Path(__file__).with_name("was_run").touch()

def build():
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 4, stride=4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3),
    )
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(CODE, encoding="utf-8")
    return path


@pytest.mark.slow
def test_fit_and_explain(code: Path, folder: Path, weights: Path, bank: Path, tmp_path: Path) -> None:
    mine, out = shutil.copy(weights, tmp_path / "w.safetensors"), tmp_path / "bank"
    words = ["--model", f"{code}:build", "--weights", mine]
    fitted = likethat("fit", "epic", *words, "--images", folder, "--out", out, "--n-prototypes", 2)
    assert fitted.exit_code == 0, fitted.stderr
    assert same_files(bank / "images", out / "images")  # of the same network by another name
    photo, page = next(folder.rglob("*.png")), tmp_path / "why.html"

    (tmp_path / "was_run").unlink()
    refused = likethat("explain", out, photo, "--out", page)
    assert refused.exit_code == 2
    assert f"add: --model {code}:build --weights {mine}" in refused.stderr.replace("\n", " ").replace("  ", " ")
    assert not (tmp_path / "was_run").exists()  # a bank of somebody else's runs nothing
    explained = likethat("explain", out, photo, "--out", page, "--model", f"{code}:build")
    assert explained.exit_code == 0, explained.stderr
    assert page.exists()

    Path(mine).unlink()
    gone = likethat("explain", out, photo, "--out", page, "--model", f"{code}:build")
    assert gone.exit_code == 2
    assert "which are not there now" in gone.stderr.replace("\n", " ")


@pytest.mark.slow
def test_a_bank_remembers_the_file_of_its_weights(timm_weights: Path, folder: Path, tmp_path: Path) -> None:
    bank, page = tmp_path / "bank", tmp_path / "why.html"
    words = ["--model", "timm:test_resnet", "--weights", timm_weights, "--images", folder, "--out", bank]
    assert likethat("fit", "epic", *words, "--n-prototypes", 1).exit_code == 0
    explained = likethat("explain", bank, next(folder.rglob("*.png")), "--out", page)
    assert explained.exit_code == 0, explained.stderr
    assert page.exists()


@pytest.mark.slow
def test_what_images_are_prepared_with_is_said_once(code: Path, folder: Path, tmp_path: Path) -> None:
    """A bank keeps it; without a bank it is said each time, and a model that answers alone has no use for it."""
    prepared = ("--mean", "0.5,0.4,0.3", "--std", "0.25", "--input-size", "32x24")
    words = ["--model", f"{code}:build", "--images", folder, "--out", tmp_path / "bank", "--n-prototypes", 1]
    assert likethat("fit", "epic", *words, *prepared).exit_code == 0
    photo, page = next(folder.rglob("*.png")), tmp_path / "why.html"
    kept = lt.open_bank(tmp_path / "bank").settings
    assert kept is not None
    assert kept.kept().mean == (0.5, 0.4, 0.3)
    assert kept.size == (32, 24)
    refused = likethat("explain", tmp_path / "bank", photo, *prepared)
    assert "must be left out with a bank" in refused.stderr.replace("\n", " ")
    alone = likethat("attribute", "-m", "http://localhost:1/model", "-i", photo, "--mean", "0", "--std", "1")
    assert "must be left out with a model that answers alone" in alone.stderr.replace("\n", " ")
    assert {one.exit_code for one in (refused, alone)} == {2}
    explained = likethat("explain", f"{code}:build", photo, *prepared, "--out", page)
    assert explained.exit_code == 0, explained.stderr
    asked = likethat("attribute", "-m", f"{code}:build", "-i", photo, *prepared, "--budget", 32, "--out", page)
    assert asked.exit_code == 0, asked.stderr


@pytest.mark.slow
def test_split_and_a_black_box(code: Path, folder: Path, tmp_path: Path) -> None:
    cut = likethat("split", f"{code}:build")
    assert cut.exit_code == 0, cut.stderr
    assert f"{code}:build" in cut.stdout.replace("\n", "")
    photo, page = next(folder.rglob("*.png")), tmp_path / "map.html"
    asked = likethat("attribute", "-m", f"{code}:build", "-i", photo, "--budget", 64, "--out", page)
    assert asked.exit_code == 0, asked.stderr
