"""One call trains a generator of whatever it is given."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import likethat as lt
from likethat.generators import train as module


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
    ],
)
def test_what_is_learned_goes_by_what_is_given(data: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def training(kind: str) -> Any:
        told.append(kind)
        return lambda *_, **__: None

    monkeypatch.setattr(module, "_training", training)
    lt.train_generator(data)
    lt.train_generator(data, kind="text")
    assert told == [kind, "text"]


def test_a_generator_says_in_a_line_what_it_is() -> None:
    assert repr(lt.load_generator("zoo:digits")) == "ImageVAE(latents of 16, learned from 1,347 images)"
