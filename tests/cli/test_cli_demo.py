"""``likethat demo``: the first thing a newcomer types."""

import json
from pathlib import Path

import pytest
from command_line import likethat
from schemas import command_schema, faults
from torch import nn

import likethat as lt
from likethat._files import new_folder
from likethat.cli.demo import annotated


@pytest.mark.slow
def test_quick_demo_writes_a_report_that_opens(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    result = likethat("demo", "--quick", "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    document, schema = json.loads(result.stdout), command_schema()
    assert faults(document, schema, schema) == []
    assert document["command"] == "demo"
    assert document["results"]
    assert all(Path(one["path"]).exists() for one in document["files"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("How the logit of") >= 2
    assert "Checked against the true parts" in page
    assert result.stderr.splitlines()[-1].endswith(str(out / "report.html"))
    for name in ("creatures", "digits"):
        assert (out / f"{name}-bank.html").exists()
        assert lt.open_bank(out / f"{name}-bank").provenance.model == f"zoo:{name}"

    why = likethat("explain", out / "digits-bank", out / "digits.png", "--out", tmp_path / "why.html")
    assert why.exit_code == 0, why.stderr
    again = likethat("demo", "--quick", "--out", tmp_path)
    assert again.exit_code == 2
    assert "must be a new folder" in again.stderr


def test_a_bank_is_not_given_up_for_a_demo_nor_what_lies_beside_an_earlier_one(tmp_path: Path) -> None:
    with new_folder(tmp_path / "bank") as folder:
        (folder / "manifest.json").write_text("hours of work")
    with new_folder(tmp_path / "demo") as folder:
        (folder / "report.html").write_text("an earlier demo")
    (tmp_path / "demo" / "creatures.png").write_text("the user's")
    for name, said in (("bank", "or that of an earlier demo"), ("demo", "'creatures.png' in it is not likethat's")):
        result = likethat("demo", "--out", tmp_path / name)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.split())
    assert (tmp_path / "bank" / "manifest.json").exists()
    assert (tmp_path / "demo" / "creatures.png").read_text() == "the user's"


def test_does_not_write_where_other_things_lie(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = likethat("demo", "--out", tmp_path)
    assert result.exit_code == 2
    assert "must be a new folder, or that of an earlier demo" in result.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random
def test_true_parts_are_added_where_they_are_known() -> None:
    source = lt.creatures(30, seed=3)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 24)
    ).eval()
    model = lt.split(network, example=source[0].image[None])
    bank = lt.EPIC(n_prototypes=1).fit(model, source)
    why = annotated(bank.explain(source[4]), source, 4)
    expected = [source.true_part(4, row.box) or "surroundings" for row in why.rows]
    assert [row.true_part for row in why.rows] == expected
    plain = bank.explain(source[4])
    assert annotated(plain, lt.digits(), 4) is plain
