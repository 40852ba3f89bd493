"""Real handwritten digits."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import likethat as lt
from likethat.errors import InputError


@pytest.mark.slow
def test_all_are_there_and_the_split_is_fixed() -> None:
    train, test = lt.digits(split="train"), lt.digits(split="test")
    names = [train.name(index) for index in range(len(train))] + [test.name(index) for index in range(len(test))]
    assert len(names) == len(set(names)) == len(lt.digits()) == 1797
    assert test.name(0) == lt.digits(split="test").name(0)
    counts = np.bincount([test.label(index) for index in range(len(test))])  # type: ignore[misc]
    assert counts.min() >= 43  # stratified: a quarter of 174 to 183


def test_values_are_scikit_learns() -> None:
    image = lt.digits(size=8)[3].image
    torch.testing.assert_close(image[0], torch.from_numpy(load_digits().images[3]).float() / 16)
    assert lt.digits()[3].label == 3


@pytest.mark.parametrize(("options", "message"), [({"split": "val"}, "must be one of"), ({"size": 4}, "at least 8")])
def test_bad_calls(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.digits(**options)
