"""How real made rows are, beside real ones: the measures by hand, and the record that a training leaves."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from table_samples import mixed_table

import likethat as lt
from likethat.generators.comparing import share, told_apart
from likethat.generators.quality import Compared, Quality, averaged, quality_from
from likethat.generators.storage import card_page
from likethat.generators.table.copies import Learned
from likethat.generators.table.dependences import learn_dependences
from likethat.generators.table.generator import TableVAE
from likethat.generators.table.measuring import compared_rows
from likethat.generators.table.quality import compare_tables
from likethat.generators.table.schema import learn_columns
from likethat.generators.table.training import _kept_back, train_table
from likethat.options import TableTraining


def people(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    kind = np.where(rng.random(n) < 0.5, "has none", "own")
    return pd.DataFrame({"x": x, "y": x + 0.3 * rng.normal(size=n), "kind": kind, "paid": kind == "own"})


@pytest.fixture(scope="module")
def trained() -> TableVAE:
    return train_table(people(160, 0), TableTraining(epochs=4, latent_dim=2, folds=True))


def test_a_classifier_tells_apart_what_differs_and_not_what_does_not() -> None:
    rng = np.random.default_rng(0)
    same, error = told_apart(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)), seed=0)
    assert abs(same - 0.5) < 3 * error
    assert 0.02 < error < 0.04  # of 200 against 200 at .5: sqrt(1 / 12 (1 / 200 + 1 / 200)) = .029
    other, _ = told_apart(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 5, seed=0)
    assert other > 0.99


def test_copies_and_distances_by_hand() -> None:
    learned = pd.DataFrame({"n": [0.5, 1.5, 2.5, 4.25], "c": ["a", "a", "b", "b"]})
    known = Learned(learned, learn_columns(learned))
    rows = pd.DataFrame({"n": [0.5, 0.5, 2.5, np.nan], "c": ["a", "b", "a", "b"]})
    assert known.copied(rows).tolist() == [True, False, False, False]
    # 2.5, a: a quarter of the learned values lie between it and 1.5, a; .5, b is two quarters from 2.5, b; the last
    # misses one of two columns
    assert known.distances(rows) == pytest.approx([0, 0.25, 0.125, 0.5])


def test_the_pairs_name_what_no_longer_hangs_together() -> None:
    frame = people(300, 1)
    columns = learn_columns(frame)
    loose = frame.assign(y=frame["y"].sample(frac=1, random_state=0).to_numpy())
    found = compare_tables(frame, loose, columns)
    assert max(found.pairs, key=lambda pair: found.pairs[pair]) == ("x", "y")
    assert found.pairs["x", "y"] > 0.7
    assert set(found.columns.values()) == {0.0}


def test_rows_that_were_copied_and_dependences_that_were_broken_are_seen() -> None:
    learned, kept_back = people(400, 2), people(100, 3)
    columns = learn_columns(pd.concat([learned, kept_back], ignore_index=True))
    made = learned.head(100).copy()
    made.loc[:24, "paid"] = ~made.loc[:24, "paid"]  # a quarter: has none and paid
    about = {"columns": columns, "dependences": learn_dependences(columns, learned), "seed": 0}
    found = Quality(kind="table", compared=compared_rows(made, kept_back, learned, **about))
    assert found["copies"].made == 0.75
    assert found["copies"].real == 0
    assert found["broken"].made == 0.25
    assert found["broken"].real == 0
    assert found["nearest"].made == 0 < (found["nearest"].real or 0)
    assert found["auc"].real_error is not None
    assert abs((found["auc"].real or 0) - 0.5) < 3 * found["auc"].real_error
    assert len(found.of("pair")) == 6


def test_too_few_rows_to_measure() -> None:
    frame = people(60, 0)
    made = train_table(frame, TableTraining(epochs=1, latent_dim=2, folds=True))
    assert repr(made.quality) == "Quality(table: not measured: 60 rows are too few, 80 are needed)"


def test_what_is_kept_back_is_not_learned_from(trained: TableVAE) -> None:
    told = TableTraining(seed=3)
    assert _kept_back(1999, told).sum() == 0
    assert _kept_back(2000, told).sum() == 200
    assert _kept_back(50_000, told).sum() == 1000
    assert _kept_back(50_000, TableTraining(quality=False)).sum() == 0
    assert trained.quality.folds == 4
    assert trained.quality.n_kept_back == trained.quality.n == trained.card["rows"] == 160
    again = train_table(people(160, 0), TableTraining(epochs=4, latent_dim=2, quality=False))
    assert all((value == again.state()[name]).all() for name, value in trained.state().items())
    assert not again.quality.is_measured
    plain = train_table(people(160, 0), TableTraining(epochs=1, latent_dim=2))
    assert "160 rows are too few to spare some; folds=True" in repr(plain.quality)


@pytest.mark.slow
def test_a_longer_table_keeps_rows_back_whatever_stands_in_them() -> None:
    frame = people(2000, 5)
    frame.loc[_kept_back(2000, TableTraining()), "x"] += 100.0
    made = train_table(frame, TableTraining(epochs=1, latent_dim=2))
    assert (made.quality.n_kept_back, made.quality.n, made.quality.folds) == (200, 2000, 1)
    assert made.quality["auc"].made > 0.99  # no row near 100 was learned from
    assert made.quality["auc"].real > 0.99
    rows = made(made.prior.sample(300, rng=torch.Generator().manual_seed(0)))
    assert rows["x"].max() < 10


def test_the_record_leaves_in_every_form(trained: TableVAE, tmp_path: Path) -> None:
    quality = trained.quality
    assert repr(quality).startswith("Quality(table: auc .") or repr(quality).startswith("Quality(table: auc 0.")
    assert "\n" not in repr(quality)
    assert quality.to_dict() == json.loads(json.dumps(trained.card["quality"]))
    frame = quality.to_frame()
    assert list(frame["what"].unique()) == ["whole", "column", "pair"]
    assert "<td>column x</td>" in quality._repr_html_()
    with pytest.raises(KeyError, match="nonsense was not measured"):
        quality["nonsense"]
    opened = lt.load_generator(trained.save(tmp_path / "made"))
    assert opened.quality.to_dict() == quality.to_dict()
    card = (tmp_path / "made" / "card.md").read_text()
    assert "Measured on all 160 rows" in card
    assert "| auc | " in card


def test_hostile_names_of_columns_stay_text() -> None:
    one = Compared(what="column", name="<img src=x>|", made=0.2, real=0.1)
    quality = Quality(kind="table", n_kept_back=1, n=2, compared=(one,))
    assert "<img" not in quality._repr_html_()
    page = card_page("g", "table-vae", {"kind": "table", "quality": quality.to_dict()}, {})
    assert "| column <img src=x>/ | 0.200 | 0.100 |" in page


@pytest.mark.parametrize("card", [{}, {"quality": 3}, {"quality": {"kind": "table", "compared": [{"what": 1}]}}])
def test_cards_that_say_nothing_or_nonsense(card: dict[str, object]) -> None:
    assert "not measured" in repr(quality_from(card, "table"))
    assert "Not measured" in card_page("g", "table-vae", card, {})


def test_generators_of_earlier_versions_say_that_nobody_measured_them() -> None:
    assert "it was trained by an earlier version, or without measuring" in repr(lt.load_generator("zoo:digits").quality)


def test_folds_are_averaged_and_their_errors_shrink() -> None:
    parts = [
        [Compared(what="whole", name="auc", made=0.6, real=0.5, made_error=0.03)],
        [Compared(what="whole", name="auc", made=0.8, real=None, made_error=0.04)],
    ]
    (one,) = averaged(parts)
    assert one.made == pytest.approx(0.7)
    assert one.real == 0.5
    assert one.made_error == pytest.approx(0.025)  # sqrt(.03^2 + .04^2) / 2


def test_shares_have_errors_at_none_and_all_too() -> None:
    one = share("copies", np.zeros(96, dtype=bool), np.ones(96, dtype=bool))
    assert (one.made, one.real) == (0, 1)
    assert [one.made_error, one.real_error] == pytest.approx([(0.02 * 0.98 / 100) ** 0.5] * 2)


def test_progress_comes_before_the_columns_are_read() -> None:
    stages: list[tuple[str, int]] = []
    train_table(
        mixed_table(),
        TableTraining(epochs=1, latent_dim=2, quality=False),
        watch=lambda report: stages.append((report.stage, report.done)),
    )
    assert stages[0] == ("reading columns", 0)
    assert list(dict.fromkeys(stage for stage, _ in stages)) == ["reading columns", "encoding columns", "training"]
