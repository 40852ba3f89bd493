"""Shards in place of a folder, on the command line."""

import tarfile
from pathlib import Path

import pytest
from command_line import likethat

import likethat as lt


@pytest.mark.slow
def test_a_fit_takes_a_pattern_of_tars_and_names_what_is_missing(folder: Path, weights: Path, tmp_path: Path) -> None:
    files = sorted(folder.rglob("*.png"))
    for shard in range(2):
        with tarfile.open(tmp_path / f"s-{shard}.tar", "w") as tar:
            for file in files[shard::2]:
                tar.add(file, file.name)
    words = ["--model", "toy:cnn", "--weights", weights, "--out", tmp_path / "bank", "--n-prototypes", 2]
    fitted = likethat("fit", "epic", "--images", str(tmp_path / "s-{0..2}.tar"), *words)
    assert fitted.exit_code == 0, fitted.stderr
    found = lt.open_bank(tmp_path / "bank").provenance
    assert found.n_images == 60
    assert found.skipped == (("s-2.tar", "does not exist"),)

    refused = likethat(
        "fit", "epic", "--images", str(tmp_path / "none-{0..2}.tar"), *words[:4], "--out", tmp_path / "b"
    )
    assert refused.exit_code != 0
    assert "none-0.tar does not exist" in refused.stderr.replace("\n", " ")
