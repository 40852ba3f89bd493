"""Measures of heat maps, by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from likethat.errors import InputError
from likethat.metrics import insertion_deletion, sensitivity


def white_left(x: Tensor) -> Tensor:
    """The share of the left half that is white."""
    p = x[..., :4].mean((1, 2, 3))
    return torch.stack([1 - p, p], 1)


def image() -> Tensor:
    picture = torch.zeros(1, 8, 8)
    picture[..., :4] = 1
    return picture


def test_the_right_order_scores_best_and_the_reverse_worst() -> None:
    heat = image()[0].numpy()
    rng = torch.Generator().manual_seed(0)
    right = insertion_deletion(white_left, image(), heat, 1, n_steps=64, rng=rng)
    wrong = insertion_deletion(white_left, image(), -heat, 1, n_steps=64, rng=rng)
    # Shown first: p climbs from the mean colour 0.5 to 1 over the first half and stays.
    assert right.insertion == pytest.approx(0.75 / 2 + 1 / 2, abs=1e-3)
    assert right.deletion == pytest.approx(0.75 / 2 + 0.5 / 2, abs=1e-3)
    assert right.score == pytest.approx(0.25, abs=2e-3)
    assert wrong.score == pytest.approx(-0.25, abs=2e-3)


@pytest.mark.parametrize("replacement", ["blur", "noise"])
def test_other_replacements(replacement: str) -> None:
    rng = torch.Generator().manual_seed(0)
    found = insertion_deletion(white_left, image(), image()[0].numpy(), 1, replacement=replacement, rng=rng)  # type: ignore[arg-type]
    assert 0 < found.score < 0.5


def test_what_is_seen_goes_on_into_what_is_hidden() -> None:
    rng = torch.Generator().manual_seed(0)
    found = insertion_deletion(white_left, image(), image()[0].numpy(), 1, replacement="inpainting", rng=rng)
    assert found.insertion == pytest.approx(1 - 0.5 / 64, abs=1e-3)  # two white pixels make all white
    assert 0.3 < found.deletion < 0.45  # as long as some of the white is seen, more of it is guessed


def test_a_heat_map_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"`heat_map` must be \(height, width\) = \(8, 8\)"):
        insertion_deletion(white_left, image(), np.zeros((4, 4), np.float32), 1, rng=torch.Generator())


def test_sensitivity_of_a_constant_and_of_the_picture_itself() -> None:
    rng = torch.Generator().manual_seed(0)
    assert sensitivity(lambda x: np.ones((8, 8), np.float32), image(), rng=rng) == 0
    moved = sensitivity(lambda x: x[0].numpy(), image(), radius=0.1, rng=rng)
    assert 0 < moved < 0.1
