"""``likethat explain MODEL INPUT``: without a bank."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import likethat
from PIL import Image
from schemas import command_schema, faults
from torch import Tensor

import likethat as lt
from likethat.sources.sentences import sentences


def good(texts: list[str]) -> Tensor:
    p = torch.tensor([2.0 * text.count("great") - 1 for text in texts], dtype=torch.float64).sigmoid()
    return torch.stack([1 - p, p], dim=1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A black box under the name of a file."""
    (tmp_path / "model.onnx").write_bytes(b"")
    box = lt.BlackBox(good, class_names=["bad", "good"])
    monkeypatch.setattr("likethat.cli._asking.Asked.open", lambda *_: (box, None))
    return tmp_path / "model.onnx"


def test_a_model_alone_gives_a_heat_map(tmp_path: Path) -> None:
    result = likethat("--json", "explain", "zoo:digits", "zoo:digits:7", "--budget", 40, "-o", tmp_path / "where.html")
    assert result.exit_code == 0, result.stderr
    (found,) = json.loads(result.stdout)["results"]
    schema = command_schema()
    assert faults(json.loads(result.stdout), schema, schema) == []
    assert found["kind"] == "Attribution"
    assert found["notes"][0].startswith("Shown by its exact heat map")
    page = (tmp_path / "where.html").read_text("utf-8")
    assert "in one pass and exactly" in page
    assert "The model was only asked" not in page


@pytest.mark.parametrize(
    ("out", "workers", "why"),
    [("why.html", "ray:2", "must be left out where --out is a page"), ("there", "2", "must be 0, or such as 'ray:2'")],
)
def test_workers_split_many_inputs_alone(tmp_path: Path, out: str, workers: str, why: str) -> None:
    result = likethat("explain", "zoo:digits", "zoo:digits:7", "--workers", workers, "-o", tmp_path / out)
    assert result.exit_code != 0
    assert f"`--workers` {why}" in " ".join(result.stderr.split())
    assert not (tmp_path / out).exists()


@pytest.mark.slow
def test_weights_and_a_generator_give_parts(tmp_path: Path) -> None:
    given = ["zoo:digits", "zoo:digits:7", "-g", "zoo:digits", "-t", "name:1", "-o", tmp_path / "why.html"]
    result = likethat("explain", *given)
    assert result.exit_code == 0, result.stderr
    assert "why 1: logit" in result.stdout
    assert "the images looked at are 500 that the generator made" in result.stdout.replace("\n", " ")
    assert "This looks like that" in (tmp_path / "why.html").read_text("utf-8")


@pytest.mark.slow
def test_texts_beside_a_black_box(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(sentences(60)[0]), encoding="utf-8")
    (tmp_path / "one.txt").write_text("the plot of this film was great", encoding="utf-8")
    given = [asked, tmp_path / "one.txt", "-d", tmp_path / "texts.txt", "--budget", 40, "-o", tmp_path / "why.html"]
    result = likethat("explain", *given)
    assert result.exit_code == 0, result.stderr
    assert "texts like it are at hand" in result.stdout.replace("\n", " ")
    assert "<del>" in (tmp_path / "why.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nobank", "x.png"], "must be a folder that likethat fit wrote, or a model"),
        (["zoo:digits", "zoo:digits:1", "zoo:digits:2"], "must be one where no bank is given, got 2"),
        (["zoo:digits", "zoo:digits:1", "--against", "3"], "`--against` must be left out where no bank is given"),
        (
            ["zoo:digits", "zoo:digits:1", "-d", "nowhere"],
            "`--data` must be a folder of images or shards (.tar, .parquet), got nowhere",
        ),
    ],
    ids=["no bank", "two inputs", "against", "no data"],
)
def test_bad_calls(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = likethat("explain", *words)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert not list(tmp_path.iterdir())


def test_data_beside_a_bank(tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "rows.csv", index=False)
    result = likethat("explain", tmp_path / "bank", "x.png", "-d", tmp_path / "rows.csv")
    assert result.exit_code == 2
    assert "must be left out with a bank" in result.stderr.replace("\n", " ")


def test_a_folder_to_write_to_takes_many_inputs(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pictures" / f"{name}.png")
    (tmp_path / "pictures" / "c.png").write_bytes(b"no picture")
    (tmp_path / "pictures" / "d.svg").write_text("<svg/>")
    words = ["explain", "zoo:digits", tmp_path / "pictures", "--budget", 40, "-o", tmp_path / "explained"]
    result = likethat("--json", *words)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    schema = command_schema()
    assert faults(document, schema, schema) == []
    assert [row["kind"] for row in document["results"][0]["rows"]] == ["Attribution", "Attribution", ""]
    assert "c.png is in no image format" in result.stderr
    assert re.search(r"d\.svg: .*CairoSVG", result.stderr)
    assert 'href="00001.html"' in (tmp_path / "explained" / "index.html").read_text("utf-8")
    assert likethat(*words).exit_code == 0  # the same words go on
    other = likethat(*words, "--seed", 1)
    assert other.exit_code == 2
    assert "holds results of other inputs" in other.stderr.replace("\n", " ")
    wrong = likethat("explain", "zoo:digits", tmp_path / "pictures", "--against", "3", "-o", tmp_path / "new")
    assert wrong.exit_code == 2
    assert "`--against` must be left out" in wrong.stderr.replace("\n", " ")
