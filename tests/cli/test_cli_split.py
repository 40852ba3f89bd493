"""``likethat split``."""

import json
from pathlib import Path

from command_line import likethat

from likethat.models.survey import ARCHITECTURES


def test_prints_the_row_of_a_local_model(timm_weights: Path) -> None:
    result = likethat("split", "timm:test_resnet", "--weights", timm_weights)
    assert result.exit_code == 0, result.stderr
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()[1:]]
    row = {words[0]: words[1].strip() for words in lines if len(words) == 2}
    assert row["pooling"] == "mean"
    assert row["classes"] == "3"
    assert row["linear"] == "yes"
    assert float(row["error"]) < 1e-5


def test_an_untrained_network_needs_no_download() -> None:
    result = likethat("split", "timm:test_resnet", "--weights", "random")
    assert result.exit_code == 0, result.stderr
    assert "1000" in result.stdout


def test_another_layer(timm_weights: Path) -> None:
    result = likethat("split", "timm:test_resnet", "--weights", timm_weights, "--layer", "stages.9")
    assert result.exit_code == 2
    assert "stages.9" in result.stderr
    assert result.stderr.count("\n") == 1


def test_bad_models_are_one_sentence(tmp_path: Path) -> None:
    pickle = tmp_path / "evil.pt"
    pickle.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    for words in (
        ["resnet18"],
        ["timm:test_resnett"],
        ["timm:test_resnet", "--weights", tmp_path / "none.safetensors"],
        ["timm:test_resnet", "--weights", pickle],
        ["timm:test_resnet", "--weights", "random", "--device", "abacus"],
    ):
        result = likethat("split", *words)
        assert result.exit_code == 2, words
        assert result.stderr.count("\n") == 1, result.stderr


def test_all_goes_on_from_its_rows(tmp_path: Path) -> None:
    lines = [json.dumps({"name": name, "kind": "refused", "note": "no map"}) for name in ARCHITECTURES[1:]]
    first = {"name": ARCHITECTURES[0], "kind": "exact", "layer": "features", "pooling": "mean", "grid": "6 x 6"}
    first |= {"error": 1e-7, "located": 1.0, "forwards": 1.0}
    (tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(first), *lines]))
    result = likethat("split", "--all", "--rows", tmp_path / "rows.jsonl")
    assert result.exit_code == 0, result.stderr
    said = result.stdout.splitlines()
    assert said[0].endswith("exact  features, mean, 6 x 6 error 1e-07 100% located 1.0 forwards")
    assert len(said) == len(ARCHITECTURES)


def test_all_refuses_a_model_beside_it_and_rows_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("my notes")
    for words in (["zoo:digits", "--all"], [], ["--all", "--rows", tmp_path / "notes.txt"]):
        result = likethat("split", *words)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
    assert (tmp_path / "notes.txt").read_text() == "my notes"
