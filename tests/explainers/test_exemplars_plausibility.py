"""Distances to real inputs, by hand."""

import pandas as pd
import pytest
import torch

from likethat.errors import InputError
from likethat.explainers.exemplars.plausibility import distance_to_real


def test_large_pictures_are_compared_as_small_copies() -> None:
    rng = torch.Generator().manual_seed(0)
    made, real = torch.rand(2, 1, 64, 16, generator=rng), torch.rand(5, 1, 64, 16, generator=rng)
    small = [torch.nn.functional.avg_pool2d(images, (2, 1)) for images in (made, real)]
    torch.testing.assert_close(distance_to_real(made, real), distance_to_real(*small))
    wide = [images.transpose(2, 3) for images in (made, real)]
    torch.testing.assert_close(distance_to_real(*wide), distance_to_real(made, real))
    noisy = torch.rand(5, 1, 32, 32, generator=rng)
    noise = noisy + 0.1 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
    assert float(distance_to_real(noise.clamp(0, 1), noisy).min()) > 0.05  # of 32 pixels a side nothing is averaged


def test_of_many_real_inputs_an_even_choice_of_two_thousand_is_taken() -> None:
    real = torch.arange(4000.0).reshape(-1, 1, 1, 1) / 4000
    found = distance_to_real(real[[0, 1, 2, 3, 3999]], real)
    assert found[[0, 2, 4]].tolist() == pytest.approx([0, 0, 0], abs=1e-3)  # every second one, both ends among them
    assert found[[1, 3]].tolist() == pytest.approx([0.5, 0.5], abs=0.01)


def test_real_inputs_that_are_all_the_same_have_no_spacing() -> None:
    real = torch.full((3, 1, 1, 1), 0.25)
    assert distance_to_real(torch.full((1, 1, 1, 1), 0.75), real).tolist() == [0.5]
    doubled = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.5, 0.75]).reshape(-1, 1, 1, 1)
    assert distance_to_real(torch.full((1, 1, 1, 1), 0.5 - 0.125), doubled).tolist() == [0.5]  # no copies


def test_distances_of_texts_see_the_order_of_words() -> None:
    # One and the same words in another order share the two words of five features: a cosine of 2 in 3.
    found = distance_to_real(["a b"], ["b a", "c d"])
    assert float(found[0]) == pytest.approx(((2 - 4 / 3) / 2) ** 0.5, abs=1e-6)
    with pytest.raises(InputError, match=r"`data` must have shape \(n, 1, 2, 2\), got \(n, 1, 3, 2\)"):
        distance_to_real(torch.rand(2, 1, 2, 2), torch.rand(2, 1, 3, 2))
    with pytest.raises(InputError, match="`data` must lie in"):
        distance_to_real(torch.rand(2, 1, 2, 2), 2 + torch.rand(2, 1, 2, 2))
    assert distance_to_real(torch.tensor([[1.0]]), torch.tensor([[3.0], [5.0]])).tolist() == [1.0]


def test_columns_that_are_missing_constant_or_true_or_false() -> None:
    real = pd.DataFrame({"gone": [None, 2.0, 4.0], "same": [5.0, 5.0, 5.0], "sure": [True, False, True]})
    # Missing is the mean: standard deviations 0, -1 and 1; of "sure" another value is 1 apart.
    made = pd.DataFrame({"gone": [3.0, 4.0], "same": [5.0, 7.0], "sure": [True, True]})
    spacing = torch.tensor([1.0, 2**0.5, 1.0]).median()
    assert distance_to_real(made, real).tolist() == pytest.approx([0.0, 2 / float(spacing)])
    with pytest.raises(InputError, match="got none named a, b, c, d, e"):
        distance_to_real(pd.DataFrame({name: [1.0] for name in "abcdef"}), real)


def test_another_category_is_as_far_as_a_standard_deviation() -> None:
    real = pd.DataFrame({"size": [10.0, 30.0], "kind": ["a", "a"]})  # two standard deviations apart
    made = pd.DataFrame({"size": [10.0, 30.0, 40.0], "kind": ["c", "a", "a"]})
    assert distance_to_real(made, real).tolist() == pytest.approx([0.5, 0.0, 0.5])
