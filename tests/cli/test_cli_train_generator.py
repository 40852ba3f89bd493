"""``likethat train-generator``: as a user types it."""

from pathlib import Path

import pytest
import torch
from command_line import likethat
from test_cli_journey import stop_at

import likethat as lt
from likethat.cli import train_generator
from likethat.errors import StorageError
from likethat.generators import sample


@pytest.mark.slow
def test_a_folder_of_pictures_becomes_a_generator(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "g"
    result = likethat("train-generator", "image", folder, "--out", out, "--steps", 20, "--latent-dim", 3)
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        ".likethat.json",
        "card.md",
        "generator.json",
        "samples.png",
        "weights.safetensors",
    ]
    assert str(out) in result.stdout
    assert not (tmp_path / "g.checkpoint").exists()
    assert lt.load_generator(out).prior.dim == 3
    again = likethat("train-generator", "image", folder, "--out", out)
    assert again.exit_code == 2
    assert "which likethat wrote before" in again.stderr
    over = likethat("train-generator", "image", folder, "--out", out, "--steps", 20, "--latent-dim", 2, "--overwrite")
    assert over.exit_code == 0, over.stderr  # the sheet of samples is one of its own files
    assert lt.load_generator(out).prior.dim == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["vae", "flow"])
def test_stopped_and_resumed_it_is_the_same(
    method: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "g"

    def words(path: Path) -> list[object]:
        return ["train-generator", "image", folder, "--out", path, "--algorithm", method, "--steps", 12]

    with monkeypatch.context() as patch:
        patch.setattr(train_generator, "progress_bar", stop_at("training", 5))
        stopped = likethat(*words(out))
    assert stopped.exit_code == 130
    assert "go on with: likethat train-generator image" in stopped.stderr
    refused = likethat(*words(out))
    assert refused.exit_code == 2
    assert "an unfinished training lies in" in refused.stderr
    assert likethat(*words(out), "--resume").exit_code == 0
    assert likethat(*words(tmp_path / "whole")).exit_code == 0
    one, other = lt.load_generator(out), lt.load_generator(tmp_path / "whole")
    latents = one.prior.sample(2, rng=torch.Generator().manual_seed(0))
    assert torch.equal(one(latents), other(latents))


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageError("full")], ids=["Ctrl-C", "full disk"])
def test_stopped_while_it_writes_the_generator_it_goes_on_without_a_step(
    error: BaseException, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(path: Path) -> list[object]:
        return ["train-generator", "image", folder, "--out", path, "--latent-dim", 3, "--steps", 12]

    def stop(*_: object, **__: object) -> Path:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("likethat.generators.storage.save_generator", stop)
        assert likethat(*words(tmp_path / "g")).exit_code != 0
    with monkeypatch.context() as patch:
        patch.setattr("likethat.generators.image.vae_training.VaeRun.step", stop)
        again = likethat(*words(tmp_path / "g"), "--resume")
    assert again.exit_code == 0, again.stderr
    assert not (tmp_path / "g.checkpoint").exists()
    assert likethat(*words(tmp_path / "whole")).exit_code == 0
    one, other = (tmp_path / name / "weights.safetensors" for name in ("g", "whole"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_csv_file_becomes_a_generator_of_rows(tmp_path: Path) -> None:
    lines = [f"{18 + index % 40},{'ab'[index % 2]},2024-01-{1 + index % 28:02}" for index in range(60)]
    (tmp_path / "people.csv").write_text("\n".join(["age,kind,seen", *lines]) + "\n")
    words = ["train-generator", "table", tmp_path / "people.csv", "--out", tmp_path / "g", "--date", "seen"]
    result = likethat(*words)
    assert result.exit_code == 0, result.stderr
    made = sample(lt.load_generator(tmp_path / "g"), 20)
    assert made["age"].between(18, 57).all()
    assert made["age"].dtype == "int64"
    assert set(made["kind"]) <= {"a", "b"}
    assert made["seen"].dtype.kind == "M"
    assert (tmp_path / "g" / "samples.csv").read_text().startswith("age,kind,seen\n")
    absent = likethat("train-generator", "table", tmp_path / "none.csv", "--out", tmp_path / "h")
    assert absent.exit_code == 2


@pytest.mark.slow
def test_a_text_file_becomes_a_generator_of_texts(tmp_path: Path) -> None:
    lines = [f"{who} {does} the {what}" for who in ("Ann", "Béla", "李") for does in ("sees", "has") for what in "xyz"]
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = likethat("train-generator", "text", tmp_path / "t.txt", "--out", tmp_path / "g", "--latent-dim", 2)
    assert result.exit_code == 0, result.stderr
    assert all(isinstance(text, str) for text in sample(lt.load_generator(tmp_path / "g"), 5))


def test_wrong_calls(folder: Path, tmp_path: Path) -> None:
    missing = likethat("train-generator", "image", tmp_path / "nothing", "--out", tmp_path / "g")
    assert missing.exit_code == 2
    assert "must be a folder of images" in missing.stderr
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    taken = likethat("train-generator", "image", folder, "--out", tmp_path / "full")
    assert taken.exit_code == 2
    assert "which is in use" in taken.stderr
