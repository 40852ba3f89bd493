"""One call trains a generator of whatever it is given."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import likethat as lt
from likethat.errors import InputError
from likethat.generators import train as module
from likethat.generators.table import files
from likethat.generators.table.files import draw_table


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (pd.DataFrame({"age": [1, 2]}), "table"),
        ("customers.csv", "table"),
        (Path("customers.TSV"), "table"),
        ("reviews.txt", "text"),
        (["A fine film.", "A dull one."], "text"),
        (("A fine film.", "A dull one."), "text"),
        (["photos/a.JPG", "photos/b.png"], "image"),
        (np.zeros((2, 8, 8, 3)), "image"),
        ("photos", "image"),
        ("photos.parquet", "image"),
        ([], "image"),
        (lambda seed: pd.DataFrame({"age": [seed]}), "table"),
        (pd.Series(["A fine film.", "A dull one."]), "text"),
        (pd.Series(["A fine film.", "A dull one."], dtype="category"), "text"),
        (pd.Index(["A fine film.", "A dull one."]), "text"),
        (np.array(["A fine film.", "A dull one."]), "text"),
        ({"A fine film.", "A dull one."}, "text"),
        (iter(["A fine film.", "A dull one."]), "text"),
        (pd.Series(["a.jpg", "b.png"]), "image"),
        (iter(np.zeros((2, 8, 8, 3))), "image"),
    ],
)
def test_what_is_learned_goes_by_what_is_given(data: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def training(kind: str) -> Any:
        told.append(kind)
        return lambda *_, **__: None

    monkeypatch.setattr(module, "_training", training)
    monkeypatch.setattr(module, "draw_table", lambda *_, **__: None)
    lt.train_generator(data)
    lt.train_generator(data, kind="text")
    assert told == [kind, "text"]


def test_texts_come_as_a_list_in_their_order_and_a_set_in_that_of_the_alphabet(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module, "_training", lambda _: lambda data, *_, **__: seen.append(data))
    for data in (pd.Series(["b", "a"]), iter(["b", "a"]), {"b", "a"}):
        lt.train_generator(data)
    lt.train_generator(iter([1, 2, 3]))
    assert seen[:3] == [["b", "a"], ["b", "a"], ["a", "b"]]
    assert list(seen[3]) == [1, 2, 3]  # nothing of a stream is lost


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (pd.DataFrame, "got the class DataFrame. A generator learns from inputs alone; no model is needed."),
        (pd, "got a module"),
        (torch.nn.Linear(2, 2), "got a Linear"),
        (LogisticRegression(), "got a LogisticRegression"),
        (pd.Series([1, 2]), "be a DataFrame where it is no column of texts, got a Series"),
        (pd.Series(["a text", None]), "hold texts alone, got .* among them"),
        (["a text", None], "hold texts alone, got NoneType among them"),
        ([3, "a text"], "hold texts alone, got int among them"),
        (iter(["a text", b"bytes"]), "hold texts alone, got bytes among them"),
        ({1: "a text", 2: 3}.values(), "hold texts alone, got int among them"),
    ],
)
def test_what_no_generator_learns_from(data: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=f"`data` must .*{sentence}"):
        lt.train_generator(data)


def sampler(seed: int) -> pd.DataFrame:
    x = np.random.default_rng(seed).integers(0, 50, size=900)
    return pd.DataFrame({"x": x, "y": 2.0 * x + 1, "kind": np.where(x > 25, "high", "low")})


@pytest.mark.slow
def test_a_sampler_without_latents_serves_exemplars_and_counterfactuals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_DRAWN", 300)
    made = lt.train_generator(sampler, epochs=40, quality=False)
    assert repr(made).endswith("learned from 300 rows)")
    model = lt.BlackBox(lambda rows: np.stack([50 - rows["x"], rows["x"]], 1) / 50, class_names=["low", "high"])
    found = lt.Exemplars(made).search(model, "high", n=2, budget=80, threshold=None)
    assert bool((found.confidence > 0.7).all())
    source = sampler(7).query("x < 10").iloc[[0]]
    best = lt.FreeMCG(made).counterfactual(model, source, "high", budget=80).best.input
    assert int(best["x"].iloc[0]) > 25
    assert best["kind"].iloc[0] in ("high", "low")


@pytest.mark.slow
def test_a_function_of_latents_that_makes_rows_serves_both() -> None:
    made = lt.load_generator(lambda z: pd.DataFrame({"x": z[:, 0].tolist(), "y": z[:, 1].tolist()}), latent_dim=2)
    model = lt.BlackBox(
        lambda rows: np.stack([1 / (1 + np.exp(3 * rows["x"])), 1 / (1 + np.exp(-3 * rows["x"]))], 1),
        class_names=["low", "high"],
    )
    assert bool((lt.Exemplars(made).search(model, "high", n=2, budget=80).confidence > 0.9).all())
    source = pd.DataFrame({"x": [-1.0], "y": [0.5]})
    best = lt.FreeMCG(made).counterfactual(model, source, "high", budget=80).best
    assert [change.name for change in best.changes] == ["x"]


def test_rows_are_drawn_seed_by_seed() -> None:
    seeds: list[int] = []

    def drawn(seed: int) -> pd.DataFrame:
        seeds.append(seed)
        return sampler(seed)

    rows = draw_table(drawn, seed=3)
    assert seeds == [3, 4, 5, 6, 7, 8]
    assert (len(rows), list(rows.index)) == (5000, list(range(5000)))
    assert rows[900:1800].reset_index(drop=True).equals(sampler(4))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda seed: [seed], "must return a DataFrame for a seed, got"),
        (lambda seed: sampler(seed)[:0], "got one without rows"),
        (lambda _: sampler(0), "for another seed, got the same rows"),
        (lambda seed: sampler(seed).rename(columns={"x": f"x{seed}"}), "got other columns"),
    ],
)
def test_what_is_no_sampler_is_refused(wrong: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        lt.train_generator(wrong)


def test_a_generator_says_in_a_line_what_it_is() -> None:
    assert repr(lt.load_generator("zoo:digits")) == "ImageVAE(latents of 16, learned from 1,347 images)"
