"""``likethat fit prodg``: from a name to a bank without an image; stopped, resumed, and wrong words."""

import filecmp
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import likethat
from test_cli_journey import stop_at
from torch import Tensor

import likethat as lt
from likethat.cli import fitting
from likethat.errors import StorageError
from likethat.generators.priors import StandardNormal


def words(out: Path, *more: object) -> list[object]:
    """A run of seconds."""
    known: list[object] = ["fit", "prodg", "--model", "zoo:digits", "--generator", "zoo:digits", "--out", out]
    target = [] if "--target" in more else ["--target", 3]
    return [*known, "--n-samples", 60, "--steps", 2, "--n-prototypes", 2, "--n-channels", 3, *target, *more]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prodg") / "bank"
    result = likethat(*words(out))
    assert result.exit_code == 0, result.stderr
    return out


def test_help_has_examples() -> None:
    result = likethat("fit", "prodg", "--help")
    assert result.exit_code == 0
    assert "$ likethat fit prodg" in result.stdout
    for option in ("--target", "--n-channels", "--no-controls", "--by", "--anchor", "--resume"):
        assert option in result.stdout
    assert "prodg" in likethat("fit", "--help").stdout


@pytest.mark.slow
def test_says_what_was_made_and_what_comes_next(tmp_path: Path) -> None:
    out = tmp_path / "bank"
    result = likethat(*words(out))
    assert result.exit_code == 0, result.stderr
    # 3 channels of 2 images, at each of 2 steps and at the end
    assert "60 samples are looked through, then 3 channels climb, 18 images" in result.stderr
    assert "making samples" in result.stderr
    assert "reading images" not in result.stderr
    for said in ("purity", "best plain samples (control)", "made for random weights (control)", "78, none opened"):
        assert said in result.stdout
    assert result.stdout.splitlines()[-1] == f"see it as a page: likethat show {out} --out bank.html"
    assert not (tmp_path / "bank.checkpoint").exists()
    made = lt.open_bank(out)
    assert made.provenance.method == "ProDG"
    assert made.provenance.options["target"] == 3
    assert sum(item.image.startswith("made-") for item in made.prototypes) == 6
    page = likethat("show", out, "--out", tmp_path / "bank.html")
    assert page.exit_code == 0, page.stderr
    assert "Is it the classifier, or the generator?" in (tmp_path / "bank.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "done"), [("making samples", 32), ("climbing", 8), ("control", 1)])
def test_stopped_and_resumed_gives_the_same_bank(
    stage: str, done: int, bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bank"
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "progress_bar", stop_at(stage, done))
        stopped = likethat(*words(out))
    assert stopped.exit_code == 130
    assert stopped.stderr.splitlines()[-1].startswith("stopped; go on with: likethat fit prodg")
    assert not out.exists()
    assert (tmp_path / "bank.checkpoint").is_dir()
    if stage != "making samples":
        refused = likethat(*words(out))
        assert refused.exit_code == 2
        assert "adding --resume" in refused.stderr
    resumed = likethat(*words(out, "--resume"))
    assert resumed.exit_code == 0, resumed.stderr
    assert filecmp.cmp(out / "tensors.safetensors", bank / "tensors.safetensors", shallow=False)
    assert filecmp.cmp(out / "prototypes.jsonl", bank / "prototypes.jsonl", shallow=False)
    assert not (tmp_path / "bank.checkpoint").exists()


def test_a_place_that_is_taken(bank: Path) -> None:
    taken = likethat(*words(bank))
    assert taken.exit_code == 2
    assert "which likethat wrote before" in taken.stderr


@pytest.mark.slow
def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = lt.Bank.save

    def full(bank: lt.Bank, path: Path, **_: bool) -> Path:
        if Path(path).parent == tmp_path:
            raise StorageError("bank could not be written (No space left on device). Free space, nothing is lost.")
        return save(bank, path)

    monkeypatch.setattr(lt.Bank, "save", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    result = likethat(*words(tmp_path / "bank", "--no-controls"))
    assert result.exit_code == 2
    said = result.stderr.splitlines()[-1]
    assert said.startswith("bank could not be written (No space left on device). The bank lies in ")
    place = said.partition("lies in ")[2].partition(" instead")[0]
    assert lt.open_bank(place).provenance.method == "ProDG"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(lt.Bank, "save", lambda *_, **__: full(None, tmp_path / "bank"))  # type: ignore[arg-type]
    lost = likethat(*words(tmp_path / "bank", "--no-controls"))
    assert "go on with the same words and --resume" in lost.stderr.splitlines()[-1]
    assert (tmp_path / "bank.checkpoint" / "climbed.safetensors").exists()


@pytest.mark.slow
def test_a_generator_of_other_images(tmp_path: Path) -> None:
    result = likethat(*words(tmp_path / "bank", "--generator", "zoo:creatures", "--no-controls"))
    assert result.exit_code == 0
    assert "images are resized and turned from 3 channels into 1 for the model" in result.stderr


@pytest.mark.slow
def test_channels_by_number_without_controls(tmp_path: Path) -> None:
    known = [word for word in words(tmp_path / "bank") if word not in ("--target", 3, "--n-channels")]
    result = likethat(*known, "--channels", "5, 9", "--no-controls", "--algorithm", "evolution")
    assert result.exit_code == 0, result.stderr
    assert "control)" not in result.stdout
    assert "The controls were not run (controls=False)" in result.stdout
    made = lt.open_bank(tmp_path / "bank")
    assert {item.unit for item in made.prototypes if item.image.startswith("made-")} == {5, 9}


@pytest.mark.slow
def test_how_it_climbs(tmp_path: Path) -> None:
    climb: list[object] = ["--algorithm", "cma-es", "--step", 0.1, "--closeness", 0.02]
    result = likethat(*words(tmp_path / "bank", *climb, "--diversity", 0, "--no-controls"))
    assert result.exit_code == 0, result.stderr
    options = lt.open_bank(tmp_path / "bank").provenance.options
    said = {"algorithm": "cma-es", "step": 0.1, "closeness": 0.02, "diversity": 0.0, "controls": False}
    assert {name: options[name] for name in said} == said


@pytest.mark.slow
def test_a_generator_of_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(
        "age,kind\n" + "".join(f"{18 + row % 40},{'ab'[row % 2]}\n" for row in range(60))
    )
    trained = likethat("train-generator", "table", tmp_path / "people.csv", "--out", tmp_path / "rows")
    assert trained.exit_code == 0, trained.stderr
    result = likethat(*words(tmp_path / "bank", "--generator", tmp_path / "rows"))
    assert result.exit_code == 2
    assert "must make images, got one that makes a table" in result.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--generator", "zoo:unicorns"], "must be one of zoo:creatures"),
        (["--generator", "nowhere"], "which does not exist"),
        (["--generator", "zoo:creatures", "--by", "prompt"], "for diffusers pipelines alone"),
        (["--anchor", "a wolf"], "`--anchor` is for --by prompt"),
        (["--class-anchors"], "`--class-anchors` is for --by prompt"),
        (["--size", 256], "is for --by prompt"),
        (["--rank", 4], "`--rank` is for --by prompt"),
        (["--reach", 0.5, "--by", "noise"], "`--reach` is for --by prompt"),
        (["--tiling", "--by", "noise"], "`--tiling` is for --by prompt and --by label"),
        (["--target", "wolf"], "must be a class of the model"),
        (["--channels", "5"], "give either `target` or `channels`"),
        (["--channels", "five"], "whole numbers with commas between"),
        (["--n-prototypes", 0], "must be a whole number of at least 1"),
        (["--batch", 0], "must be a whole number of at least 1"),
        (["--step", 0], "must be a number above 0"),
        (["--closeness", -1], "must be a number of at least 0"),
        (["--diversity", "nan"], "must be a number of at least 0"),
        (["--steps", -1], "must be a whole number of at least 0"),
        (["--memory-budget", "lots"], "must be a size such as"),
        (["--resume"], "no readable checkpoint"),
    ],
    ids=str,
)
def test_bad_words_are_one_sentence(more: list[object], message: str, tmp_path: Path) -> None:
    result = likethat(*words(tmp_path / "bank", *more))
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert not (tmp_path / "bank").exists()


class Painted:
    """A pipeline by prompt, as far as the command line sees it."""

    kind, prior, differentiable = "image", StandardNormal(4), True

    def __call__(self, latents: Tensor) -> Tensor:
        return latents.sigmoid().reshape(-1, 1, 2, 2).repeat_interleave(16, 2).repeat_interleave(16, 3)


@pytest.mark.slow
def test_words_reach_the_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}

    def load(name: str, **options: Any) -> Painted:
        told.update(options, name=name)
        return Painted()

    monkeypatch.setattr("likethat.generators.load_generator", load)
    pipeline: list[object] = ["--generator", "diffusers:org/name", "--by", "prompt", "--anchor", "a four", "--tiling"]
    pipeline += ["--class-anchors", "--generator-steps", 4, "--size", 256, "--dtype", "bfloat16", "--checkpointing"]
    pipeline += ["--rank", 8, "--reach", 0.5]
    result = likethat(*words(tmp_path / "bank", *pipeline, "--steps", 0, "--device", "cpu"))
    assert result.exit_code == 0, result.stderr
    assert told == {
        "name": "diffusers:org/name",
        "device": "cpu",
        "by": "prompt",
        "anchors": ("a four", *(str(digit) for digit in range(10))),
        "n_steps": 4,
        "size": (256, 256),
        "rank": 8,
        "reach": 0.5,
        "dtype": torch.bfloat16,
        "checkpointing": True,
        "tiling": True,
    }


@pytest.mark.slow
def test_a_pipeline_in_a_folder(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from tiny_pipelines import flux

    flux().save_pretrained(tmp_path / "flux")
    pipeline: list[object] = ["--generator", f"diffusers:{tmp_path / 'flux'}", "--by", "prompt", "--anchor", "a wolf"]
    pipeline += ["--size", 16, "--generator-steps", 2, "--checkpointing", "--channels", "1,2", "--batch", 2]
    known: list[object] = ["fit", "prodg", "--model", "toy:cnn", "--weights", weights, "--out", tmp_path / "bank"]
    result = likethat(*known, *pipeline, "--n-samples", 20, "--steps", 2, "--n-prototypes", 2)
    assert result.exit_code == 0, result.stderr
    assert lt.open_bank(tmp_path / "bank").provenance.options["generator"] == "PromptGenerator"
