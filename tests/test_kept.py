"""What a released schema wrote is still read, numbers included (tests/kept/README.md)."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import pictures, small_cnn

import likethat as lt
from likethat.errors import BankFormatError

KEPT = Path(__file__).parent / "kept"


def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=pictures(4), class_names=("ant", "bee", "café"))


@pytest.mark.parametrize(
    ("name", "n_prototypes", "purity", "first", "is_made", "unit"),
    [
        ("epic", 26, 0.521554, 0.0125287, False, "channel"),
        ("parts", 30, 0.880347, 0.0170845, False, "part"),
        ("prodg", 32, 0.629741, 0.0175711, True, "channel"),
    ],
)
def test_a_bank_of_schema_1(
    name: str, n_prototypes: int, purity: float, first: float, is_made: bool, unit: str
) -> None:
    bank = lt.open_bank(KEPT / "schema-1" / name, model())
    assert (len(bank.prototypes), bank.provenance.is_made, bank.provenance.unit) == (n_prototypes, is_made, unit)
    assert bank.purity == pytest.approx(purity, abs=1e-5)
    assert all(len(bank.images[item.image]) for item in bank.prototypes)

    why = bank.explain(pictures(30)[0], "ant")
    assert why.logit == pytest.approx(-0.0387453, abs=1e-5)
    assert why.rows[0].contribution == pytest.approx(first, abs=1e-5)


RECORDS: dict[str, Callable[[Any], list[float]]] = {
    "explanation": lambda why: [why.logit, why.rows[0].total, why.image.sum(), why.rows[0].heat_map.sum()],
    "contrast": lambda why: [why.logit, why.rows[0].total, why.image.sum(), why.rows[0].heat_map.sum()],
    "attribution": lambda found: [found.heat_map.min(), found.error.max(), found.queries],
    "counterfactual-table": lambda found: [found.best.l1, found.probability(found.best), found.source["age"][0]],
    "counterfactual-image": lambda found: [found.best.l1, found.probability(found.best), found.source.sum()],
    "exemplars-table": lambda found: [found.errors[0], found.latents.sum(), found.inputs["income"].sum()],
    "exemplars-image": lambda found: [found.errors[0], found.latents.sum(), found.inputs.sum()],
    "words": lambda found: [found.values.max(), found.error.max(), found.queries],
    "audit": lambda found: [
        found.shortcuts[0].score,
        found.shortcuts[0].share.sum(),
        found.shortcuts[0].n_on,
        found.shortcuts[0].right_after.sum(),
        found.n_doubtful,
    ],
    "comparison": lambda found: [
        found.directions[0].share,
        found.n_flips,
        found.units[0].unforeseen,
        found.flips[0].after,
        sum(one.use_b for one in found.units),
    ],
}


@pytest.mark.parametrize(
    ("name", "kind", "numbers"),
    [
        ("explanation", "Explanation", [-0.03874534, 0.01708446, 139.89130, 0.01708446]),
        ("contrast", "Explanation", [0.07045227, 0.01908307, 139.89130, 0.01908307]),
        ("attribution", "Attribution", [-0.0003504727, 0.00007539651, 48]),
        ("counterfactual-table", "Counterfactual", [0.6992010, 0.9002495, 64]),
        ("counterfactual-image", "Counterfactual", [0.1058438, 0.9212804, 268]),
        ("exemplars-table", "ExemplarSet", [0.02659699, 2.459066, 1543.34 + 1574.83]),
        ("exemplars-image", "ExemplarSet", [0.03430846, 4.741826, 591.38483]),
        ("words", "WordAttribution", [1.999995862, 0.0005753930, 39]),
        ("comparison", "Comparison", [0.2880992825, 119, 0.6807896606, 6.987868667, 1.0]),
        ("audit", "Audit", [0.01089453578, 1.109755039, 44, 53, 3]),
    ],
)
def test_a_record_of_schema_1(name: str, kind: str, numbers: list[float]) -> None:
    result = lt.open(KEPT / "schema-1" / name)
    assert type(result).__name__ == kind
    assert [float(one) for one in RECORDS[name](result)] == pytest.approx(numbers, rel=1e-5)
    shown = [item.image for row in getattr(result, "rows", ()) for item in row.prototypes]
    assert all(result.images[key].size for key in shown)  # type: ignore[union-attr]  # only explanations show any


def test_a_table_generator_of_schema_1() -> None:
    generator = lt.load_generator(KEPT / "schema-1" / "table-generator")
    row = generator(torch.zeros(1, generator.prior.dim, dtype=torch.float32)).iloc[0]
    assert (row["age"], row["city"]) == (64, "Bern")
    assert row["income"] == pytest.approx(2571.07, abs=0.02)


def test_a_field_that_a_later_likethat_added_is_passed_over(tmp_path: Path) -> None:
    folder = shutil.copytree(KEPT / "schema-1" / "epic", tmp_path / "bank")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["provenance"]["added_in_0_9"] = 1
    del manifest["digest"]
    manifest["sha256"] = {name: value for name, value in manifest["sha256"].items() if "/" not in name}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert lt.open_bank(folder).prototypes == lt.open_bank(KEPT / "schema-1" / "epic").prototypes

    (folder / "manifest.json").write_text(json.dumps(manifest | {"schema_version": 2}), encoding="utf-8")
    with pytest.raises(
        BankFormatError, match=r"schema version 2 \(written by likethat 0\.1\.0\), this likethat reads up to 1"
    ):
        lt.open_bank(folder)
