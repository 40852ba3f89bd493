"""``likethat split``."""

from pathlib import Path

from command_line import likethat


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
