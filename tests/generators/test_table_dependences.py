"""What always holds between columns: found, told, kept by every row that is made or changed."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import likethat as lt
from likethat.errors import InputError
from likethat.generators import load_generator
from likethat.generators.table.dependences import Dependence, broken_by, learn_dependences, repaired
from likethat.generators.table.generator import TableVAE
from likethat.generators.table.scale import Scale
from likethat.generators.table.schema import learn_columns
from likethat.generators.table.training import train_table
from likethat.options import TableTraining


def customers(n: int = 400, seed: int = 0) -> pd.DataFrame:
    """Customers as a telephone company has them, with a number of each."""
    rng = np.random.default_rng(seed)
    internet = rng.choice(["No", "DSL", "Fibre"], n, p=[0.3, 0.3, 0.4])
    extra = [np.where(internet == "No", "No internet", rng.choice(["Yes", "No"], n)) for _ in range(3)]
    joined = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 400, n), unit="D")
    monthly, months = np.round(rng.uniform(20, 100, n), 2), rng.integers(1, 7, n)
    level = rng.integers(0, 3, n)
    return pd.DataFrame(
        {
            "number": rng.permutation(n) + 1,
            "name": [f"person {number}" for number in range(n)],
            "internet": internet,
            "safety": extra[0],
            "backup": extra[1],
            "films": extra[2],
            "joined": joined,
            "left": joined + pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
            "monthly": monthly,
            "total": np.round(monthly * months, 2),
            "grade": np.array(["low", "mid", "high"])[level],
            "grade_number": level,
            "partner_income": np.where(rng.random(n) < 0.5, np.nan, np.round(rng.normal(3000, 500, n))),
        }
    ).assign(partner_age=lambda frame: np.where(frame["partner_income"].isna(), np.nan, rng.integers(20, 80, n)))


@cache
def generator() -> TableVAE:
    return train_table(customers(), TableTraining(epochs=15, latent_dim=6, quality=False))


def n_broken(frame: pd.DataFrame) -> int:
    scales = generator().scales
    places = {name: scale.positions(frame[name]) for name, scale in scales.items()}
    return int(broken_by(generator().dependences, scales, places, len(frame)).any(axis=1).sum())


@pytest.mark.slow
def test_what_was_put_in_is_found_and_nothing_else() -> None:
    found = {(each.first, each.second) for each in generator().dependences}
    asked = {"internet", "safety", "backup", "films"}
    assert {pair for pair in found if not asked >= set(pair)} == {
        ("joined", "left"),
        ("monthly", "total"),
        ("grade", "grade_number"),
        ("grade_number", "grade"),
        ("partner_income", "partner_age"),
        ("partner_age", "partner_income"),
    }
    assert {pair for pair in found if asked >= set(pair)} == {(a, b) for a in asked for b in asked if a != b}
    told = generator().card["dependences"]
    n = int((customers()["internet"] == "No").sum())
    assert f"where internet is No, safety is No internet ({n} rows)" in told
    assert "joined is never above left (400 rows)" in told
    assert "whether there is partner_income says whether there is partner_age (400 rows)" in told
    assert "grade says grade_number, for 3 of its values (400 rows)" in told


@pytest.mark.slow
def test_unrelated_columns_have_none() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"c{number}": rng.integers(0, 5, 500) for number in range(30)})
    frame = frame.assign(**{f"n{number}": rng.normal(size=500) for number in range(10)})
    frame = frame.mask(rng.random(frame.shape) < 0.05)
    assert learn_dependences(learn_columns(frame), frame) == ()


@pytest.mark.slow
def test_what_breaks_a_dependence_is_seen() -> None:
    frame = customers()
    row = int(frame.index[frame["internet"] == "Fibre"][0])
    assert n_broken(frame) == 0
    for name, value in (("safety", "No internet"), ("total", 18.0), ("left", frame["joined"].min())):
        other = frame.copy()
        other.loc[row, name] = value
        assert n_broken(other) == 1, name


def test_a_slip_in_a_thousand_rows_is_told_and_not_taken_for_the_rule() -> None:
    relation = ["husband"] * 1200 + ["wife"] * 800
    frame = pd.DataFrame({"relation": relation, "sex": ["m"] * 1199 + ["f"] * 801})
    found = {each.first: each for each in learn_dependences(learn_columns(frame), frame)}
    assert (found["relation"].rows, found["relation"].exceptions) == (2000, 1)
    frame.loc[:20, "sex"] = "f"
    first = [each for each in learn_dependences(learn_columns(frame), frame) if each.first == "relation"]
    assert [len(each.pairs) for each in first] == [1]  # wives still are


@pytest.mark.slow
def test_rows_that_are_made_hold_together_and_stay_as_they_were_saved(tmp_path: Path) -> None:
    latents = generator().prior.sample(500, rng=torch.Generator().manual_seed(0))
    made = generator()(latents)
    assert n_broken(made) == 0
    assert made["internet"].nunique() == 3
    opened = load_generator(str(generator().save(tmp_path / "rows")))
    pd.testing.assert_frame_equal(opened(latents), made)
    assert isinstance(opened, TableVAE)
    assert opened.dependences == generator().dependences
    assert opened.usual == pytest.approx(generator().usual)


def test_two_that_say_opposite_things_are_settled() -> None:
    """DSL and “No internet” in two columns: one of them gives way, and they do not take turns."""
    frame = customers().iloc[:1].assign(internet="DSL", safety="No internet", backup="Yes", films="Yes")
    scales = generator().scales
    places = {name: scale.positions(frame[name]) for name, scale in scales.items()}
    free = ["internet", "safety", "backup", "films"]
    fixed = repaired(generator().dependences, scales, places, free=free)
    assert not broken_by(generator().dependences, scales, fixed, 1).any()


@pytest.mark.slow
def test_identifiers_are_named_left_out_and_never_changed() -> None:
    columns = {column.name: column for column in generator().columns}
    assert [name for name, column in columns.items() if column.is_identifier] == ["number", "name"]
    assert "number is an identifier" in " ".join(generator().card["notes"])
    found = lt.FreeMCG(generator(), confidence=0.6).counterfactual(fibre, customers(seed=1).iloc[[3]], budget=80)
    assert all(change.name not in ("number", "name") for edit in found.edits for change in edit.changes)
    assert "identifiers never change: number, name" in found.notes
    names = [name for name in customers() if name not in ("number", "name")]
    with pytest.raises(InputError, match="`immutable` must leave a column that may change, got all 12"):
        lt.FreeMCG(generator()).counterfactual(fibre, customers().iloc[[3]], immutable=names)


def test_numbers_that_happen_to_be_different_are_no_identifier() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"wide": rng.choice(10**7, 300, replace=False), "fraction": rng.normal(size=300)})
    assert not any(column.is_identifier for column in learn_columns(frame))


def fibre(frame: pd.DataFrame) -> np.ndarray:
    """A model for which internet, safety and the price count: it pulls single columns out of what hangs together."""
    score = 3.0 * (frame["internet"] == "No") + 1.5 * (frame["safety"] == "No internet") - 1.2
    score = score + (60 - frame["monthly"].to_numpy(dtype=float)) / 80 + 1.0 * (frame["grade_number"] == 2)
    chance = 1 / (1 + np.exp(-2 * np.asarray(score, dtype=float)))
    return np.stack([1 - chance, chance], axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("row", [0, 3])
def test_counterfactuals_keep_every_dependence(row: int) -> None:
    asked: list[pd.DataFrame] = []

    def model(frame: pd.DataFrame) -> np.ndarray:
        asked.append(frame)
        return fibre(frame)

    source = customers(seed=2).iloc[[row]]
    found = lt.FreeMCG(generator(), confidence=0.6).counterfactual(model, source, n=2, budget=150)
    assert found.edits
    assert n_broken(pd.concat(asked, ignore_index=True)) == 0
    assert [edit.broken for edit in found.edits] == [()] * len(found.edits)
    assert found.n_dependences == len(generator().dependences)
    assert 0 <= (found.best.share_as_odd or 0) <= 1


@pytest.mark.slow
def test_what_the_source_breaks_itself_is_told_and_no_hindrance() -> None:
    source = customers(seed=2).iloc[[0]].assign(internet="Fibre", safety="No internet", backup="Yes", films="No")
    found = lt.FreeMCG(generator(), confidence=0.6).counterfactual(fibre, source, budget=150, immutable=["safety"])
    assert found.best.broken
    assert all("safety" in told for told in found.best.broken)


def test_surprise_is_more_for_rows_of_which_a_column_is_anothers() -> None:
    frame = customers(seed=3)
    mixed = frame.assign(total=frame["total"].to_numpy()[::-1], films=frame["films"].to_numpy()[::-1])
    assert float((generator().surprise(mixed) > generator().surprise(frame)).float().mean()) > 0.7
    with pytest.raises(InputError, match="`inputs` must be a DataFrame, got list"):
        generator().surprise(["a text"])


def test_dates_of_two_units_are_compared() -> None:
    days = pd.Series(pd.date_range("2020-01-01", periods=60, freq="D"))
    frame = pd.DataFrame(
        {"a": days.astype("datetime64[s]"), "b": (days + pd.Timedelta(hours=2)).astype("datetime64[ns]")}
    )
    [found] = learn_dependences(learn_columns(frame), frame)
    assert (found.kind, found.first, found.second) == ("below", "a", "b")
    assert isinstance(Dependence.from_json(found.as_json()), Dependence)
    scales = {column.name: Scale(column) for column in learn_columns(frame)}
    late = {"a": np.array([40.0]), "b": np.array([0.0])}
    assert broken_by([found], scales, late, 1).all()
