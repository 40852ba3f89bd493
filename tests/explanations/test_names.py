"""Names that people give units."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import pictures, same_files, small_cnn
from typer.testing import CliRunner

import likethat as lt
from likethat._documents import digest_of
from likethat.cli.main import app
from likethat.errors import BankFormatError, InputError
from likethat.explanations.names import read_names
from likethat.explanations.storage import write_names

pytestmark = pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=pictures(4), class_names=("ant", "bee", "cat"))


@pytest.fixture(scope="module")
def saved(model: lt.SplitModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "bank"
    return lt.EPIC(n_prototypes=2).fit(model, lt.Images(pictures(30), labels=[i % 3 for i in range(30)])).save(path)


@pytest.fixture
def bank(saved: Path, model: lt.SplitModel) -> lt.Bank:
    return lt.open_bank(saved, model)


def test_a_name_stands_everywhere_and_is_kept(bank: lt.Bank, model: lt.SplitModel, tmp_path: Path) -> None:
    image = pictures(1)[0]
    unit = bank.explain(image).rows[0].unit
    assert bank.rename(unit, " beak <b> ") == f"channel {unit}"
    opened = lt.open_bank(bank.save(tmp_path / "named"), model)
    assert dict(opened.named) == {unit: "beak <b>"}
    why = opened.explain(image)
    assert [row.name for row in why.rows if row.unit == unit] == ["beak <b>"]
    assert opened.to_dict()["unit_names"][unit] == "beak <b>"
    assert "beak <b>" in {one["name"] for one in opened.to_coco()["categories"]}
    assert "(1 named)" in repr(opened)
    assert "beak &lt;b&gt;" in why.save(tmp_path / "why.html").read_text()
    page = opened.save(tmp_path / "bank.html").read_text()
    assert "beak &lt;b&gt;" in page
    assert f"unit {unit}, named by people" in page
    assert "beak <b>" in opened.save(tmp_path / "bank.csv").read_text()


def test_what_rename_gives_back_undoes_it(bank: lt.Bank, saved: Path, tmp_path: Path) -> None:
    own = bank.unit_names
    first = bank.rename(3, "beak")
    second = bank.rename("beak", "bill")
    assert (first, second, bank.unit_names[3]) == ("channel 3", "beak", "bill")
    bank.rename(3, second)
    assert bank.unit_names[3] == "beak"
    bank.rename(3, first)
    assert bank.unit_names == own
    assert same_files(saved, bank.save(tmp_path / "again"))  # a bank without names has the bytes it always had
    bank.rename(2, "tail")
    bank.rename("tail", None)
    assert not bank.named


@pytest.mark.parametrize(
    ("unit", "name", "message"),
    [
        (10_000, "beak", r"`unit` must be from 0 to"),
        (-1, "beak", r"`unit` must be a whole number"),
        ("nobody", "beak", r"got 'nobody', which is of none\. Give its number"),
        (1, "", r"`name` must be one line of 1 to 120 printable signs"),
        (1, "a\nb", r"`name` must be one line"),
        (1, "a" * 121, r"`name` must be one line"),
        (1, 7, r"`name` must be one line"),
        (1, "channel 2", r"must not be another unit's own name, got 'channel 2' for unit 1"),
    ],
)
def test_what_is_no_name(unit: Any, name: Any, message: str, bank: lt.Bank) -> None:
    with pytest.raises(InputError, match=message):
        bank.rename(unit, name)
    assert not bank.named


def test_a_name_of_two_units_stands_for_none(bank: lt.Bank) -> None:
    bank.rename(1, "leg")
    bank.rename(2, "leg")
    with pytest.raises(InputError, match=r"got 'leg', which is of 1, 2\. Give its number"):
        bank.rename("leg", "foot")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"10000": "beak"}, "names the unit 10000"),
        ({"x": "beak"}, "names the unit 'x', which is no number"),
        ({"01": "beak"}, "names the unit '01', which is no number"),
        ({"1": "a\nb"}, "must be one line"),
        ({"1": 5}, "named"),
        (["beak"], "named"),
    ],
)
def test_damaged_names_are_one_sentence(named: Any, message: str, bank: lt.Bank, tmp_path: Path) -> None:
    path = bank.save(tmp_path / "bank")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["named"] = named
    manifest["digest"] = digest_of({key: value for key, value in manifest.items() if key != "digest"})
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BankFormatError, match=f"is damaged: .*{message}"):
        lt.open_bank(path)


def test_rows_that_are_superclasses_show_the_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = lt.Images(pictures(30), labels=[i % 3 for i in range(30)])
    model = lt.split(small_cnn(), example=pictures(4), class_names=("ant", "bee", "cat"))
    bank = lt.PartPrototypes(algorithm="superclasses", n_prototypes=2).fit(model, images)
    row = bank.explain(pictures(1)[0]).rows[0]
    before = bank.rename(row.unit, "beak")
    opened = lt.open_bank(bank.save(tmp_path / "bank"), model)
    assert opened.explain(pictures(1)[0]).rows[0].name == "beak"
    opened.rename("beak", None)  # the own name was kept beside the given one
    assert opened.unit_names[row.unit] == before


@pytest.mark.slow
def test_the_command_names_all_or_none(bank: lt.Bank, tmp_path: Path) -> None:
    path, runner = bank.save(tmp_path / "bank"), CliRunner()
    (tmp_path / "names.json").write_text('{"0": "tail", "2": null}')
    words = ["rename", str(path), "1=left wing", "--from", str(tmp_path / "names.json"), "--json"]
    said = runner.invoke(app, words)
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["values"]["named"] == {"0": "tail", "1": "left wing"}
    assert dict(lt.open_bank(path).named) == {0: "tail", 1: "left wing"}
    assert runner.invoke(app, ["rename", str(path), "0=head", "99999=beak"]).exit_code == 2
    assert dict(lt.open_bank(path).named) == {0: "tail", 1: "left wing"}
    assert runner.invoke(app, ["rename", str(path), "tail=", "1="]).exit_code == 0
    assert not lt.open_bank(path).named
    assert "no unit has a name" in runner.invoke(app, ["rename", str(path)]).output
    assert runner.invoke(app, ["rename", str(path), "beak"]).exit_code == 2


@pytest.mark.parametrize("text", ["[]", '{"x": "beak"}', '{"1": 2}', "{"])
def test_a_file_that_holds_no_names(text: str, tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(text)
    with pytest.raises(InputError, match=r"must be a JSON file of names by unit"):
        read_names(tmp_path / "names.json")


def test_names_alone_are_written_as_the_whole_bank_would_be(bank: lt.Bank, saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "bank")
    bank.rename(3, "beak")
    write_names(bank, tmp_path / "bank")
    assert same_files(tmp_path / "bank", bank.save(tmp_path / "whole"))
    assert lt.open_bank(tmp_path / "bank").named == {3: "beak"}
    bank.rename(3, None)
    write_names(bank, tmp_path / "bank")
    assert same_files(tmp_path / "bank", saved)
    bank.provenance = dataclasses.replace(bank.provenance, seed=9)
    with pytest.raises(BankFormatError, match="which holds another"):
        write_names(bank, tmp_path / "bank")
