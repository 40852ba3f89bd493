"""The survey of architectures: what a row says, that it goes on, and that nothing holds it up."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from model_networks import randomise

from likethat.models import survey as surveying
from likethat.models.survey import ARCHITECTURES, survey


def test_at_least_120_architectures_are_named_once() -> None:
    assert len(set(ARCHITECTURES)) == len(ARCHITECTURES) >= 120
    assert {name.partition(":")[0] for name in ARCHITECTURES} == {"torchvision", "timm", "hf-config"}


@pytest.mark.slow
def test_a_row_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    row = surveying._row("timm:test_resnet")
    assert (row["kind"], row["pooling"], row["located"], row["forwards"]) == ("exact", "mean", 1.0, 1.0)
    assert row["error"] <= 1e-5
    assert 2 <= row["cost"] <= 25
    token = randomise(timm.create_model("test_vit", img_size=64, num_classes=5))
    monkeypatch.setattr(surveying, "_built", lambda _: token)
    row = surveying._row("timm:test_vit")
    assert row["kind"] == "exact for this image"
    assert 0 < row["located"] < 1
    assert 1 < row["forwards"] <= 4


def test_a_head_of_zeros_has_no_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3)
    ).eval()
    torch.nn.init.zeros_(network[3].weight)
    monkeypatch.setattr(surveying, "_built", lambda _: network)
    row = surveying._row("hf-config:none")
    assert row["kind"] == "exact"
    assert "located" not in row


def test_what_is_no_classifier_is_a_row_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "_built", lambda _: torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)).eval())
    row = surveying._row("hf-config:none")
    assert row["kind"] == "refused"
    assert row["note"].startswith("`network`")


def test_a_stopped_survey_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(_: Any, name: str, __: float) -> surveying.Row:
        asked.append(name)
        return {"name": name, "kind": "exact"}

    monkeypatch.setattr(surveying._Worker, "ask", ask)
    rows = survey(tmp_path / "rows.jsonl", ["a", "b"])
    assert next(rows)["name"] == "a"
    rows.close()
    assert [row["name"] for row in survey(tmp_path / "rows.jsonl", ["a", "b"])] == ["a", "b"]
    assert asked == ["a", "b"]


def test_nothing_takes_longer_than_it_may() -> None:
    worker = surveying._Worker()
    row = worker.ask("timm:test_resnet", 0.0)
    assert (row["kind"], row["note"]) == ("not finished", "not cut within 0 s")
    assert worker._process is None


def test_fresh_weights_that_make_all_images_alike_are_livened(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaled(torch.nn.Module):
        """Adds to a constant what a scale near 0 lets through, as layer scales do when they are fresh."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
            self.gamma = torch.nn.Parameter(torch.full((4,), 1e-9))
            self.head = torch.nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(1 + (self.gamma[:, None, None] * self.layers(x)).mean((2, 3)))

    network = Scaled().eval()
    monkeypatch.setattr(surveying, "_built", lambda _: network)
    row = surveying._row("hf-config:none")
    assert row["kind"].startswith("exact")
    assert row["note"].startswith("Scales set to 1")
    assert network.gamma.tolist() == [1.0] * 4
    assert float(network.layers[1].running_mean.abs().max()) > 0  # type: ignore[union-attr]
    assert not network.layers[1].training


@pytest.mark.slow
def test_a_name_of_features_alone_gets_a_head() -> None:
    assert surveying._built("timm:test_vit").num_classes > 0
    config = surveying._built("hf-config:levit").config  # a family with several heads
    assert config.num_labels == 2
