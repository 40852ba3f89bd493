"""Which labels are doubtful, row by row."""

import pytest
import torch
from planted import features_of

from likethat.auditing.labels import find_doubtful

# label, probabilities of the three classes; pictures of class 1 get .625 for it, the one of class 2 gets .75 for it
ROWS = [
    (1, [0.250, 0.625, 0.125]),
    (1, [0.125, 0.625, 0.250]),
    (2, [0.125, 0.125, 0.750]),
    (0, [0.031250, 0.625, 0.343750]),  # as likely as class 1 usually is, and exactly twenty times the label
    (0, [0.0625, 0.875, 0.0625]),  # only fourteen times as likely
    (0, [0.015625, 0.609375, 0.375]),  # less likely than class 1 usually is
    (0, [0.0, 0.375, 0.625]),  # less likely than class 2 is in its one picture
    (-1, [0.0, 1.0, 0.0]),  # has no label to doubt
    (0, [0.0, 0.0, 1.0]),
    (0, [0.875, 0.125, 0.0]),
]


@pytest.mark.parametrize("n", [0, 2, 9])
def test_a_label_is_doubted_where_another_class_is_as_likely_as_in_its_own_pictures(n: int) -> None:
    probabilities = torch.tensor([row[1] for row in ROWS], dtype=torch.float64)
    features = features_of(torch.zeros(len(ROWS), 2), torch.tensor([row[0] for row in ROWS]), probabilities.argmax(1))
    n_doubtful, found = find_doubtful(features, probabilities, n=n)
    assert n_doubtful == 2
    assert [one.picture.index - 100 for one in found] == [8, 3][:n]  # the largest lead first
    for one in found:
        row = ROWS[one.picture.index - 100]
        assert (one.own, one.other) == (row[1][row[0]], max(row[1]))
        assert (one.picture.label, one.picture.predicted) == (0, row[1].index(max(row[1])))


def test_a_class_without_pictures_is_as_likely_as_any() -> None:
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8], [0.3, 0.3, 0.4]], dtype=torch.float64)
    features = features_of(torch.zeros(3, 2), torch.tensor([0, 0, 0]), probabilities.argmax(1))
    n_doubtful, found = find_doubtful(features, probabilities, n=5)
    assert (n_doubtful, [one.picture.source for one in found]) == (1, ["row 1"])
