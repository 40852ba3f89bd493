"""``likethat compare``: the page, the gate, and names that go over."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import fit_words, likethat
from schemas import command_schema, faults

import likethat as lt
from likethat.cli.compare import Condition
from likethat.errors import InputError

ROOT = Path(__file__).parents[2]
SCHEMA = command_schema()


@pytest.fixture(scope="module")
def banks(folder: Path, weights: Path, names: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("banks")
    for name in ("released", "new"):
        made = likethat(*fit_words(folder, weights, place / name), "--class-names", names)
        assert made.exit_code == 0, made.stderr
    return place / "released", place / "new"


def words(banks: tuple[Path, Path], folder: Path, weights: Path, out: Path) -> list[object]:
    return ["compare", *banks, folder, "--weights-a", weights, "--weights-b", weights, "--out", out]


def test_a_gate_that_lets_through_and_one_that_does_not(
    banks: tuple[Path, Path], folder: Path, weights: Path, tmp_path: Path
) -> None:
    page = tmp_path / "a.html"
    given = [*words(banks, folder, weights, page), "--json", "--fail-if", "matched_units >= 1"]
    result = likethat(*given, "--fail-if", "flipped > 0", "--fail-if", "new_directions > 0")
    document: dict[str, Any] = json.loads(result.stdout)
    assert faults(document, SCHEMA, SCHEMA) == []
    assert (result.exit_code, document["exit_code"], document["error"]["type"]) == (3, 3, "FailedIf")
    assert re.search(r"^failed: matched_units >= 1 \(matched_units is \d+\)$", document["error"]["message"])
    assert document["values"]["failed"] == ["matched_units >= 1"]
    (found,) = document["results"]
    assert (found["kind"], found["values"]["flipped"]) == ("Comparison", 0)
    assert "the model goes by nothing new and has lost nothing" in page.read_text("utf-8")  # written all the same
    passed = likethat(*words(banks, folder, weights, page), "--fail-if", "flipped > 0 %")
    assert (passed.exit_code, passed.stderr.count("failed")) == (0, 0)
    assert "No prediction flipped; the model goes by nothing new" in passed.stdout


def test_names_go_over_where_the_gate_lets_through(
    banks: tuple[Path, Path], folder: Path, weights: Path, tmp_path: Path
) -> None:
    assert likethat("rename", banks[0], "3=beak").exit_code == 0
    given = [*words(banks, folder, weights, tmp_path / "a.html"), "--carry-names"]
    assert likethat(*given, "--fail-if", "shared_units < 1").exit_code == 3
    assert not lt.open_bank(banks[1]).named
    done = likethat(*given)
    assert (done.exit_code, lt.open_bank(banks[1]).named) == (0, {3: "beak"})
    assert "unit 3: beak" in done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("flips > 1", "must speak of one of flipped, broken, .*, got 'flips'"),
        ("flipped = 1", "must be a name, one of > >= < <=, and a number.*, got 'flipped = 1'"),
        ("flipped > 1; rm", "must be a name"),
        ("flipped > -1", "must be a name"),
    ],
)
def test_a_line_that_is_none_is_refused_before_the_work(line: str, said: str, tmp_path: Path) -> None:
    result = likethat("compare", tmp_path / "none", tmp_path / "none", tmp_path, "--fail-if", line)
    assert result.exit_code == 2
    assert re.search(said, result.stderr)


def test_lines() -> None:
    assert Condition.of(" flipped>=2.5% ").limit == 0.025
    assert Condition.of("new_share < .3").holds({"new_share": 0.2})
    assert not Condition.of("new_units > 2").holds({"new_units": 2.0})
    with pytest.raises(InputError, match="got 'broken > 0', and DATA has no labels"):
        Condition.of("broken > 0").holds({"broken": float("nan")})


def test_the_workflow_of_the_guide_runs(
    banks: tuple[Path, Path],
    folder: Path,
    weights: Path,
    names: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    yaml: Any = pytest.importorskip("yaml")
    page = (ROOT / "docs" / "guide" / "compare.md").read_text("utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    steps = [step["run"] for step in yaml.safe_load(block)["jobs"]["compare"]["steps"] if "run" in step]
    fit, gate = (shlex.split(line.split(" > compare.json")[0])[1:] for line in steps if line.startswith("likethat"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(folder)
    (tmp_path / "released").symlink_to(banks[0])
    (tmp_path / "new.safetensors").symlink_to(weights)
    fit[fit.index("timm:resnet18")] = "toy:cnn"
    assert likethat(*fit, "--n-prototypes", 2).exit_code == 0
    other = likethat(*gate, "--weights-a", weights, "--weights-b", weights)
    assert other.exit_code == 2  # fitted without class names, the new model has other classes than the released one
    assert "by name" in json.loads(other.stdout)["error"]["message"]
    assert likethat(*fit, "--n-prototypes", 2, "--class-names", names, "--overwrite").exit_code == 0
    done = likethat(*gate, "--weights-a", weights, "--weights-b", weights)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["values"] == {
        "fail_if": ["new_directions > 0", "accuracy_drop > 1 %", "flipped > 5 %"], "failed": []
    }  # fmt: skip
    assert (tmp_path / "compare.html").exists()
