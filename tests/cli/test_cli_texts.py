"""``likethat counterfactual``, ``attribute`` and ``exemplars`` with texts: a model that counts two words."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import likethat
from schemas import command_schema, faults
from torch import Tensor

import likethat as lt
from likethat.sources.sentences import sentences

SOURCE = "Honestly, the plot of this film was great and the acting was lovely. Worth every cent."


def judge(texts: list[str]) -> Tensor:
    odds = [2.0 * sum(text.count(word) for word in ("great", "lovely")) - 3 for text in texts]
    p = torch.tensor(odds, dtype=torch.float64).sigmoid()
    return torch.stack([1 - p, p], dim=1)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    (tmp_path / "reviews.txt").write_text("\n".join(sentences(60)[0]), encoding="utf-8")
    (tmp_path / "review.txt").write_text(SOURCE, encoding="utf-8")
    box = lt.BlackBox(judge, class_names=["bad", "good"])
    monkeypatch.setattr("likethat.cli._asking.Asked.open", lambda *_: (box, None))
    return ["-m", "reviews", "-o", tmp_path / "page.html"]


def test_a_text_is_edited_and_the_edit_is_shown(words: list[Any], tmp_path: Path) -> None:
    given = ["-g", tmp_path / "reviews.txt", "-i", tmp_path / "review.txt", "--budget", 40]
    result = likethat("counterfactual", *words, *given)
    assert result.exit_code == 0, result.stderr
    assert "[-" in result.stdout
    assert "nearest real text: " in result.stdout
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<del>" in page
    assert "The nearest real text of that class" in page


def test_words_are_listed_with_their_errors(words: list[Any], tmp_path: Path) -> None:
    result = likethat("attribute", *words, "-i", tmp_path / "review.txt", "--budget", 60)
    assert result.exit_code == 0, result.stderr
    assert "of the words have a clear sign" in result.stdout
    assert "±" in result.stdout
    assert "  great" in result.stdout


@pytest.mark.slow
def test_real_texts_are_found(words: list[Any], tmp_path: Path) -> None:
    given = ["-g", tmp_path / "reviews.txt", "-t", "bad", "-n", 1, "--budget", 60, "--tolerance", 0.5]
    result = likethat("exemplars", *words, *given)
    assert result.exit_code == 0, result.stderr
    assert "bad: 1 of 1 reached" in result.stdout
    assert "real texts, found with questions" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["counterfactual", "attribute", "exemplars"])
def test_texts_are_in_the_document_too(command: str, words: list[Any], tmp_path: Path) -> None:
    given = {
        "counterfactual": ["-g", tmp_path / "reviews.txt", "-i", tmp_path / "review.txt", "--budget", 40],
        "attribute": ["-i", tmp_path / "review.txt", "--budget", 40],
        "exemplars": ["-g", tmp_path / "reviews.txt", "-n", 1, "--budget", 60, "--tolerance", 0.5],
    }[command]
    result = likethat(command, *words, *given, "--json")
    document = json.loads(result.stdout)
    assert faults(document, command_schema(), command_schema()) == []
    written = json.dumps(document, ensure_ascii=False)
    assert {"counterfactual": "Honestly, the", "attribute": "lovely", "exemplars": "attributions"}[command] in written
