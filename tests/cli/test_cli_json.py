"""``--json``: one document of the shipped schema on standard output, whatever a command does."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from command_line import fit_words, likethat
from schemas import command_schema, faults

import likethat as lt
from likethat.cli.main import app

SCHEMA = command_schema()


def told(*arguments: object, exit_code: int = 0) -> dict[str, Any]:
    """Run a command with --json, and return its document, which fits the schema."""
    result = likethat(*arguments, "--json")
    assert result.exit_code == exit_code, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    assert faults(document, SCHEMA, SCHEMA) == []
    assert document["exit_code"] == exit_code
    return document


def test_split_and_words_go_to_standard_error() -> None:
    result = likethat("split", "zoo:digits", "--json")
    document = json.loads(result.stdout)
    assert (document["command"], document["values"]["channels"]) == ("split", 64)
    assert "pooling" in result.stderr
    assert "pooling" in likethat("split", "zoo:digits").stdout  # and no document is left over for the next


@pytest.mark.parametrize("words", [("--version",), ("--json", "--version")])
def test_the_version_is_a_document_too(words: tuple[str, ...]) -> None:
    assert told(*words)["version"] == lt.__version__
    assert likethat("--version").stdout == f"likethat {lt.__version__}\n"


def test_no_command_is_an_error_to_read_in_every_group() -> None:
    groups = [name for name, one in typer.main.get_command(app).commands.items() if hasattr(one, "commands")]  # type: ignore[attr-defined]
    assert groups == ["fit", "train-generator"]
    for words in ([], *([name] for name in groups)):
        document = told(*words, exit_code=2)
        assert (document["error"]["message"], document["command"]) == ("Missing command.", " ".join(words))
    for name in groups:
        assert "Usage" in likethat(name).output  # without it there is help


@pytest.mark.slow
def test_a_bank_from_fit_to_evaluate(folder: Path, weights: Path, names: Path, tmp_path: Path) -> None:
    words = [*fit_words(folder, weights, tmp_path / "bank"), "--class-names", names]
    fitted = told(*words)
    assert fitted["command"] == "fit epic"
    assert fitted["files"] == [{"what": "bank", "path": str(tmp_path / "bank")}]
    assert [one["kind"] for one in fitted["results"]] == ["Bank"]
    photos = sorted(folder.rglob("*.png"))[:2]
    options = ["--out", tmp_path / "why.html", "--weights", weights]
    explained = told("explain", tmp_path / "bank", *photos, *options)
    assert [one["source"] for one in explained["results"]] == [one.name for one in photos]
    shown = told("show", tmp_path / "bank", "--out", tmp_path / "bank.html")
    assert shown["results"] == fitted["results"]
    words = ["evaluate", tmp_path / "bank", "--images", folder, "--weights", weights, "--n-explained", 4]
    assert told(*words)["values"]["n_images"] == 4


@pytest.mark.slow
def test_an_audit(folder: Path, weights: Path, names: Path, tmp_path: Path) -> None:
    words = ["audit", "toy:cnn", folder, "--weights", weights, "--class-names", names, "--out", tmp_path / "a.html"]
    document = told(*words, "--n-pictures", 2, "--test", folder)
    assert document["files"] == [{"what": "page", "path": str(tmp_path / "a.html")}]
    (found,) = document["results"]
    assert (found["kind"], found["provenance"]["n_images"]) == ("Audit", 60)
    assert found["shortcuts"][0]["is_clear"] is False
    assert {one["kind"] for one in found["findings"]} <= {"copies", "slice", "unlike", "surroundings"}
    nothing = tmp_path / "repaired.safetensors"
    again = likethat(*words, "--n-pictures", 2, "--repair", nothing)
    assert again.exit_code == 0
    assert "no shortcut is clear, so nothing was repaired" in again.stdout
    assert not nothing.exists()
    assert "No shortcut found" in again.stdout
    taken = tmp_path / "mine.safetensors"
    taken.write_bytes(b"mine")
    assert told(*words, "--repair", taken, exit_code=2)["error"]["type"] == "InputError"  # before the work begins
    assert taken.read_bytes() == b"mine"


@pytest.mark.slow
def test_parts(folder: Path, weights: Path, names: Path, tmp_path: Path) -> None:
    words = [*fit_words(folder, weights, tmp_path / "bank"), "--class-names", names, "--n-parts", 2]
    words[1] = "parts"
    document = told(*words, "--labels", "predicted")
    assert document["command"] == "fit parts"
    assert document["files"] == [{"what": "bank", "path": str(tmp_path / "bank")}]
    assert document["results"][0]["provenance"]["method"] == "PartPrototypes"
    assert document["results"][0]["prototypes"][0]["original"]["width"] > 0


@pytest.mark.slow
def test_a_bank_without_data(tmp_path: Path) -> None:
    words = ["fit", "prodg", "--model", "zoo:digits", "--generator", "zoo:digits", "--out", tmp_path / "bank"]
    document = told(*words, "--n-samples", 60, "--steps", 1, "--n-prototypes", 2, "--target", 3, "--n-channels", 1)
    assert document["command"] == "fit prodg"
    assert document["results"][0]["provenance"]["is_made"] is True
    assert {one["original"] for one in document["results"][0]["prototypes"]} == {None}


@pytest.mark.slow
def test_asking_a_black_box(tmp_path: Path) -> None:
    words = [
        "-m",
        "zoo:digits",
        "-g",
        "zoo:digits-flow",
        "-i",
        "zoo:digits:7",
        "--budget",
        40,
        "-o",
        tmp_path / "a.html",
    ]
    assert told("counterfactual", *words, "-t", 3)["results"][0]["target_name"] == "3"
    words = ["-m", "zoo:digits", "-i", "zoo:digits:7", "--budget", 32, "-o", tmp_path / "b.html"]
    assert told("attribute", *words)["results"][0]["kind"] == "Attribution"
    words = [
        "-m",
        "zoo:digits",
        "-g",
        "zoo:digits",
        "-n",
        1,
        "--budget",
        20,
        "-t",
        3,
        "-t",
        5,
        "-o",
        tmp_path / "c.html",
    ]
    assert [one["target"] for one in told("exemplars", *words)["results"]] == [3, 5]


@pytest.mark.slow
def test_a_generator(tmp_path: Path) -> None:
    lines = ["age,kind", *(f"{place % 47},{'abc'[place % 3]}" for place in range(60))]
    (tmp_path / "a.csv").write_text("\n".join(lines), "utf-8")
    document = told("train-generator", "table", tmp_path / "a.csv", "--out", tmp_path / "generator")
    assert document["values"]["rows"] == 60
    assert [one["what"] for one in document["files"]] == ["generator", "samples"]


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["explain", "nowhere", "x.png"], "InputError", "must be a folder that likethat fit wrote, or a model"),
        (["show", "nowhere"], "BankFormatError", "must be the folder of a bank"),
        (["split", "zoo:nothing"], "InputError", "got 'nothing'"),
        (["explain", "--bogus"], "UsageError", "No such option: --bogus"),
        (["--bogus"], "UsageError", "No such option: --bogus"),
        (["bogus"], "UsageError", "No such command"),
    ],
)
def test_an_error_is_a_document_too(words: list[str], kind: str, said: str) -> None:
    document = told(*words, exit_code=2)
    assert document["error"]["type"] == kind
    assert said in document["error"]["message"]


def test_stopped_work_says_how_to_go_on(
    folder: Path, weights: Path, names: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("likethat.cli.fitting.save_what_fits", stop)
    document = told(*fit_words(folder, weights, tmp_path / "bank"), "--class-names", names, exit_code=130)
    assert document["error"] == {"type": "Interrupted", "message": "stopped"}


def test_a_fault_of_ours_is_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("likethat.cli.options.open_model", lambda *_, **__: 1 / 0)
    document = told("split", "zoo:digits", exit_code=1)
    assert document["error"] == {"type": "ZeroDivisionError", "message": "division by zero"}


def test_a_schema_that_is_not_met_is_seen() -> None:
    document = told("split", "zoo:digits")
    for change in ({"files": None}, {"exit_code": 4}, {"results": [{"kind": "Bank"}]}, {"version": 1}):
        assert faults(document | change, SCHEMA, SCHEMA) != []
    del document["values"]
    assert faults(document, SCHEMA, SCHEMA) == ["$: lacks values"]


def test_every_result_has_a_place_in_the_schema() -> None:
    listed = {one["$ref"].rpartition("/")[2] for one in SCHEMA["properties"]["results"]["items"]["anyOf"]}
    assert {kind.__name__ for kind in get_args(lt.open.__annotations__["return"])} == listed
