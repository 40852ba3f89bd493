"""Taking a direction out of a head, and matching how often classes are given."""

import torch

from likethat.functional.removal import match_frequencies, without_direction


def test_what_is_taken_out_no_longer_counts_and_what_is_not_read_stays() -> None:
    rng = torch.Generator().manual_seed(0)
    weight, d, r, x = (torch.randn(*size, generator=rng, dtype=torch.float64) for size in ((4, 6), (6,), (6,), (50, 6)))
    head = without_direction(weight, d, r)
    assert torch.allclose((x + 3 * d) @ head.T, x @ head.T)
    unread = x - (x @ r / (r @ d))[:, None] * d  # moved along d to where r reads nothing
    assert torch.allclose(unread @ head.T, unread @ weight.T)
    assert torch.linalg.matrix_rank(weight - head) == 1


def test_what_is_taken_out_is_uncorrelated_with_what_stays() -> None:
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(500, 5, generator=rng, dtype=torch.float64) @ torch.randn(5, 5, generator=rng, dtype=torch.float64)
    covariance = torch.cov(x.T, correction=0)
    r = torch.randn(5, generator=rng, dtype=torch.float64)
    d = covariance @ r
    stays = x @ without_direction(torch.eye(5, dtype=torch.float64), d, r).T
    read = x @ r
    assert float(((stays - stays.mean(0)) * (read - read.mean())[:, None]).mean(0).abs().max()) < 1e-9


def test_classes_become_as_frequent_as_wanted() -> None:
    logits = torch.randn(300, 5, generator=torch.Generator().manual_seed(2)) + torch.tensor([3.0, 0, 0, -2, 0])
    wanted = torch.tensor([60, 100, 40, 100, 0])
    bias = match_frequencies(logits, wanted)
    given = torch.bincount((logits + bias).argmax(1), minlength=5)
    assert (given[:4] - wanted[:4] - given[4] // 4).abs().max() <= given[4] + 1
    assert float(bias[4]) + float(bias[:4].mean()) < 1e-9 + abs(float(bias[4]))


def test_a_head_that_fits_already_is_left_and_one_class_is_no_case() -> None:
    logits = torch.eye(3)[torch.tensor([0, 1, 2, 0])] * 4
    assert match_frequencies(logits, torch.tensor([2, 1, 1])).tolist() == [0, 0, 0]
    assert match_frequencies(torch.randn(5, 1), torch.tensor([5])).tolist() == [0]


def test_of_two_classes_both_are_matched() -> None:
    logits = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor([1.0, 0.0])
    bias = match_frequencies(logits, torch.tensor([50, 150]))
    assert torch.bincount((logits + bias).argmax(1), minlength=2).tolist() == [50, 150]
