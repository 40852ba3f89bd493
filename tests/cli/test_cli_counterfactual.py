"""``likethat counterfactual`` and ``likethat attribute``."""

from pathlib import Path
from typing import Any

import pytest
from command_line import likethat
from PIL import Image

import likethat as lt
from likethat.explanations.counterfactual import Counterfactual


@pytest.mark.slow
def test_a_digit_becomes_another(tmp_path: Path) -> None:
    words = ["-m", "zoo:digits", "-g", "zoo:digits", "-i", "zoo:digits:7", "--budget", 40, "--confidence", 0.6]
    result = likethat("counterfactual", *words, "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    assert "queries" in result.stdout
    assert (tmp_path / "page.html").exists()


def test_an_attribution_needs_no_generator(tmp_path: Path) -> None:
    words = ["-m", "zoo:digits", "-i", "zoo:digits:7", "--budget", 40, "-o", tmp_path / "page.html"]
    result = likethat("attribute", *words)
    assert result.exit_code == 0, result.stderr
    assert "have a clear sign" in result.stdout


@pytest.mark.slow
def test_a_folder_takes_many_inputs_and_what_the_command_takes(tmp_path: Path) -> None:
    (tmp_path / "digits").mkdir()
    for place in (7, 8):
        pixels = (lt.digits(split="test")[place].image[0] * 255).round().byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "digits" / f"{place}.png")
    words = ["-m", "zoo:digits", "-i", tmp_path / "digits", "-o", tmp_path / "all"]
    done = likethat("counterfactual", *words, "-g", "zoo:digits", "--budget", 60, "-n", 2, "--confidence", 0.6)
    assert done.exit_code == 0, done.stderr
    found: Any = lt.open(tmp_path / "all")
    assert (
        f"2 of 2 inputs explained, {sum(one.queries for one in found) - 1} queries in all" in done.stdout
    )  # one check
    assert [one.options["n"] for one in found] == [2, 2]
    words[-1] = tmp_path / "maps"
    assert "2 of 2 inputs explained" in likethat("attribute", *words, "--algorithm", "patches", "--budget", 40).stdout


@pytest.mark.slow
def test_bad_calls_are_one_sentence(tmp_path: Path) -> None:
    digits = ["-m", "zoo:digits", "-g", "zoo:digits"]
    for words in (
        ["counterfactual", *digits, "-i", tmp_path / "none.png"],
        ["counterfactual", *digits, "-i", "zoo:digits:9999"],
        ["counterfactual", *digits, "-i", "zoo:digits:7", "--range", "age"],
        ["attribute", "-m", "zoo:digits", "-i", "zoo:digits:7", "--algorithm", "freemcg"],
    ):
        result = likethat(*words)
        assert result.exit_code == 2, words
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-i", "none.png"], "which does not exist"),
        (["-i", "."], "must be a file, got the folder"),
        (["-i", "text.png"], "is in no image format that Pillow can open"),
        (["-i", "empty.png"], "is empty (0 bytes)"),
        (["-i", "zoo:digits:7", "-t", "wolf"], "must be a class of the model, got 'wolf'"),
        (["-i", "zoo:digits:x"], "must name a row from 0 to 449"),
        (["-i", "zoo:creatures:7"], "= (1, 32, 32) as the generator makes images, got (3, 96, 96)"),
        (["-i", "zoo:digits:7", "-g", "zoo:nothing"], "`--generator` must be one of zoo:creatures"),
        (["-i", "zoo:digits:7", "--budget", 5], "must be "),
        (["-i", "zoo:digits:7", "-o", "."], "must be a folder, a table or a .txt where --out is a folder"),
        (["-i", "zoo:digits:7", "-o", "all/", "--overwrite"], "`--overwrite` must be left out"),
        (["-i", "zoo:digits:7", "-o", "page.json"], "must be a file that ends in .html"),
        (["-i", "zoo:digits:7", "-o", "text.png/page.html"], "could not be written"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["counterfactual", "attribute"])
def test_wrong_words(
    command: str, words: list[object], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.png").write_text("no picture")
    Path("empty.png").touch()
    result = likethat(command, "-m", "zoo:digits", "-g", "zoo:digits-flow", *words)
    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.png", "text.png"]


@pytest.mark.slow
def test_pictures_of_another_size_and_colour(tmp_path: Path) -> None:
    Image.new("L", (40, 20), 90).save(tmp_path / "grey.png")
    Image.new("RGB", (40, 20), (90, 0, 200)).save(tmp_path / "colour.png")
    page = ["-o", tmp_path / "page.html"]
    grey = likethat("attribute", "-m", "zoo:creatures", "-i", tmp_path / "grey.png", "--budget", 32, *page)
    assert grey.exit_code == 0, grey.stderr
    digits = ["-m", "zoo:digits", "-g", "zoo:digits-flow", "-i", tmp_path / "colour.png", "--budget", 40]
    colour = likethat("attribute", *digits, *page)
    assert colour.exit_code == 0, colour.stderr
    assert "is resized from 20 x 40 to 32 x 32 pixels" in colour.stderr


@pytest.mark.slow
def test_a_digit_changes_only_where_the_mask_is_white(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))  # twice the digit's size
    half.save(tmp_path / "half.png")
    pages: list[Any] = []
    monkeypatch.setattr(Counterfactual, "save", lambda self, path, **_: pages.append(self) or path)
    words = ["counterfactual", "-m", "zoo:digits", "-g", "zoo:digits-flow", "-i", "zoo:digits:7", "--budget", 24]
    result = likethat(*words, "--noise", 4, "--mask", tmp_path / "half.png", "-o", tmp_path / "page.html")
    assert result.exit_code == 0, result.stderr
    moved = abs(pages[0].best.input[0] - pages[0].source[0])
    assert float(moved[..., 16:].max()) == 0 < float(moved[..., :16].max())
    assert pages[0].options["noise"] == 4
    for mask, said in (("black.png", "white nowhere"), ("none.png", "does not exist")):
        result = likethat(*words, "--mask", tmp_path / mask, "-o", tmp_path / "page.html")
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
