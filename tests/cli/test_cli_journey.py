"""Fit, stop, go on, explain, show: as a user types it."""

import filecmp
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_line import fit_words, likethat
from toys import same_files

import likethat as lt
from likethat._documents import digest_of
from likethat._progress import Progress, Watcher
from likethat.cli import fitting


def stop_at(stage: str, done: int) -> object:
    """A progress bar that is interrupted."""

    @contextmanager
    def bar(_: object = None) -> Iterator[Watcher]:
        def watch(report: Progress) -> None:
            if report.stage.startswith(stage) and report.done >= done:
                raise KeyboardInterrupt

        yield watch

    return bar


def test_says_what_was_found_and_what_comes_next(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    result = likethat(*fit_words(folder, weights, tmp_path / "bank"))
    assert result.exit_code == 0
    assert "60 images" in result.stderr
    assert "3 classes" in result.stderr
    assert "purity" in result.stdout
    assert f"likethat explain {tmp_path / 'bank'} PHOTO.jpg" in result.stdout.splitlines()[-1]
    assert not (tmp_path / "bank.checkpoint").exists()
    assert same_files(bank, tmp_path / "bank")


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "done", "workers"), [("reading", 32, 0), ("reading", 60, 2), ("looking", 1, 0)])
def test_stopped_and_resumed_gives_the_same_bank(
    stage: str,
    done: int,
    workers: int,
    bank: Path,
    folder: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "bank"
    words = [*fit_words(folder, weights, out), "--workers", workers, "--batch-size", 7]
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "progress_bar", stop_at(stage, done))
        stopped = likethat(*words)
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1].startswith("stopped; go on with: likethat fit epic")
    assert stopped.stderr.splitlines()[-1].endswith("--resume")
    assert not out.exists()
    assert (tmp_path / "bank.checkpoint").is_dir()

    if stage == "reading":
        refused = likethat(*words)
        assert refused.exit_code == 2
        assert "adding --resume" in refused.stderr

    resumed = likethat(*words, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert filecmp.cmp(out / "tensors.safetensors", bank / "tensors.safetensors", shallow=False)
    assert filecmp.cmp(out / "prototypes.jsonl", bank / "prototypes.jsonl", shallow=False)
    assert not (tmp_path / "bank.checkpoint").exists()


@pytest.mark.slow
def test_resuming_with_other_options_is_refused(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = fit_words(folder, weights, tmp_path / "bank")
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "progress_bar", stop_at("reading", 32))
        likethat(*words)
    result = likethat(*words, "--seed", 1, "--resume")
    assert result.exit_code == 2
    assert "its seed is 0, this one's is 1" in result.stderr
    assert likethat(*words, "--seed", 1, "--overwrite").exit_code == 0


def test_a_place_that_is_taken(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    taken = likethat(*fit_words(folder, weights, bank))
    assert taken.exit_code == 2
    assert "which likethat wrote before" in taken.stderr
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "which is in use" in likethat(*fit_words(folder, weights, tmp_path), "--overwrite").stderr
    assert "must be a folder" in likethat(*fit_words(folder, weights, tmp_path / "b.html")).stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--memory-budget", "lots"], "must be a size such as"),
        (["--n-prototypes", 0], "must be a whole number of at least 1"),
        (["--images", "nowhere"], "which does not exist"),
        (["--images", "zoo:unicorns"], "zoo:creatures, zoo:digits"),
        (["--class-names", "nowhere.txt"], "one name a line"),
        (["--resume"], "no readable checkpoint"),
    ],
    ids=str,
)
def test_bad_words_are_one_sentence(
    words: list[object], message: str, folder: Path, weights: Path, tmp_path: Path
) -> None:
    result = likethat(*fit_words(folder, weights, tmp_path / "bank"), *words)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "bank").exists()


def test_explains_one_image(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    picture = next((folder / "bee").iterdir())
    out = tmp_path / "why.html"
    result = likethat("explain", bank, picture, "--weights", weights, "--target", "bee", "--top", 3, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "why bee" in result.stdout
    assert result.stdout.count("channel ") == 3
    assert "<html" in out.read_text(encoding="utf-8")
    assert result.stdout.splitlines()[-1].endswith(str(out))


def test_the_printed_column_adds_up(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    picture = next((folder / "ant").iterdir())
    result = likethat("explain", bank, picture, "--weights", weights, "--out", tmp_path / "w.html")
    heading, *rows = result.stdout.splitlines()[1:-1]
    logit = float(heading.split("logit ")[1].split(",")[0])
    terms = [float(word) for row in rows for word in row.split() if re.fullmatch(r"[+-][\d.]+", word)]
    assert len(terms) == 6  # four channels, the others, the bias
    assert sum(terms) == pytest.approx(logit, abs=0.02)


def test_contrast_of_two_classes_by_index(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    picture = next((folder / "ant").iterdir())
    result = likethat(
        "explain", bank, picture, "--weights", weights, "-t", 0, "--against", 2, "-o", tmp_path / "w.html"
    )
    assert result.exit_code == 0, result.stderr
    assert "why ant and not cat" in result.stdout


def test_several_images_make_a_gallery(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    pictures = sorted(folder.rglob("*.png"))[:3]
    result = likethat("explain", bank, *pictures, "--weights", weights, "--out", tmp_path / "g.html")
    assert result.exit_code == 0, result.stderr
    page = (tmp_path / "g.html").read_text(encoding="utf-8")
    assert all(path.name in page for path in pictures)


@pytest.mark.slow
def test_bad_calls_of_explain(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    picture = next((folder / "ant").iterdir())
    words: list[object] = ["explain", bank, picture, "--weights", weights, "--out", tmp_path / "w.html"]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    for extra, message in (
        (["--target", "wolf"], "It knows 'ant', 'bee', 'cat'"),
        (["--target", 7], "must be from 0 to 2, got 7"),
        (["--target", "ant", "--against", "ant"], "must be another class"),
        (["--top", 0], "at least 1, got 0"),
        (["--out", tmp_path / "w.png"], "must be a file that ends in .html"),
        ([broken], "broken.jpg"),
        ([folder], "must be one image, got the folder"),
        ([tmp_path / "nowhere.jpg"], "nowhere.jpg"),
    ):
        result = likethat(*words, *extra)
        assert result.exit_code == 2, (extra, result.stdout)
        assert message in result.stderr, extra
        assert result.stderr.count("\n") == 1, result.stderr


def test_other_weights_than_the_banks_are_refused(bank: Path, folder: Path, tmp_path: Path) -> None:
    picture = next((folder / "ant").iterdir())
    other = likethat("explain", bank, picture, "--weights", "random", "--out", tmp_path / "w.html")
    assert other.exit_code == 2
    assert "fingerprint" in other.stderr


@pytest.mark.slow
def test_a_model_that_no_longer_loads_is_asked_for(bank: Path, folder: Path, weights: Path, tmp_path: Path) -> None:
    manifest = bank / "manifest.json"
    before = manifest.read_text(encoding="utf-8")
    data = json.loads(before)
    data["provenance"]["model"] = "Sequential"
    picture = next((folder / "ant").iterdir())
    try:
        manifest.write_text(json.dumps({**data, "digest": digest_of(data)}), encoding="utf-8")
        words: list[object] = ["explain", bank, picture, "--out", tmp_path / "w.html"]
        unknown = likethat(*words)
        assert unknown.exit_code == 2
        assert "was made from 'Sequential', which does not load by that name" in unknown.stderr
        assert likethat(*words, "--model", "toy:cnn", "--weights", weights).exit_code == 0
    finally:
        manifest.write_text(before, encoding="utf-8")


def test_show_needs_no_model(bank: Path, tmp_path: Path) -> None:
    result = likethat("show", bank, "--out", tmp_path / "bank.html")
    assert result.exit_code == 0, result.stderr
    assert "<html" in (tmp_path / "bank.html").read_text(encoding="utf-8")
    nothing = likethat("show", tmp_path, "--out", tmp_path / "b.html")
    assert nothing.exit_code == 2
    assert "must be the folder of a bank" in nothing.stderr


@pytest.mark.slow
def test_evaluates_on_other_images(bank: Path, folder: Path, weights: Path) -> None:
    words: list[object] = ["evaluate", bank, "--images", folder, "--weights", weights, "--n-explained", 6]
    table = likethat(*words)
    assert table.exit_code == 0, table.stderr
    assert "measured on 6 explanations" in table.stdout
    assert "box match" not in table.stdout  # the folder knows no true parts
    row = json.loads(likethat(*words, "--json").stdout)["values"]
    assert row["gap"] < 1e-4
    assert 0 < row["coverage"] <= 1
    assert row["box_match"] is None


def test_class_names_are_remembered(bank: Path) -> None:
    assert lt.open_bank(bank).class_names == ("ant", "bee", "cat")
