"""Which labels are doubtful, row by row."""

import pytest
import torch
from planted import features_of

from likethat.auditing.labels import find_doubtful, weigh_doubts

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


def drawn(n: int, *, sharpness: float, heat: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return logits of three classes, labels drawn from their softmax, and probabilities `heat` times as sure."""
    rng = torch.Generator().manual_seed(3)
    logits = sharpness * torch.randn(n, 3, generator=rng, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=rng)[:, 0]
    return logits, labels, (heat * logits).softmax(1)


@pytest.mark.parametrize("heat", [1.0, 3.0])
def test_right_labels_are_doubted_as_often_as_chance_says_however_sure_the_model_is(heat: float) -> None:
    logits, labels, probabilities = drawn(4000, sharpness=2.0, heat=heat)
    features = features_of(logits, labels, probabilities.argmax(1))
    found = weigh_doubts(features, probabilities, [])
    assert found is not None
    assert 20 < found.n_pictures < 0.2 * len(labels)
    assert found.interval[0] < found.null < found.interval[1]
    assert not found.is_clear


def test_wrong_labels_are_more_than_chance_and_their_neighbours_say_so() -> None:
    rng = torch.Generator().manual_seed(1)
    true = torch.arange(900) % 3
    rows = torch.eye(3, dtype=torch.float64)[true] * 8 + torch.randn(900, 3, generator=rng, dtype=torch.float64)
    labels = true.clone()
    labels[::30] = (true[::30] + 1) % 3  # thirty of 900
    probabilities = rows.softmax(1)
    features = features_of(rows, labels, probabilities.argmax(1))
    shown = find_doubtful(features, probabilities, n=99)[1]
    assert {(one.picture.index - 100) % 30 for one in shown} == {0}  # each is one that was changed
    found = weigh_doubts(features, probabilities, shown)
    assert found is not None
    assert 20 <= found.n_pictures == found.n_predictions == len(shown)
    assert found.score == found.n_pictures / 900
    assert found.interval[0] < found.score < found.interval[1]
    assert found.is_clear
    assert found.null < found.score / 2
    assert found.agreement > 0.9
    assert all(one.is_on for one in found.pictures)
    stirred = features_of(torch.randn(900, 3, generator=rng, dtype=torch.float64), labels, probabilities.argmax(1))
    aside = weigh_doubts(stirred, probabilities, [])
    assert aside is not None
    assert aside.agreement < 0.5  # the features say nothing


def test_a_doubted_picture_is_no_neighbour_of_itself_and_few_are_no_finding() -> None:
    probabilities = torch.tensor([[0.0, 1.0]] * 3 + [[1.0, 0.0]] * 4, dtype=torch.float64)
    places = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0])[:, None]
    features = features_of(places, torch.tensor([0, 1, 1, 0, 0, 0, 0]), probabilities.argmax(1))
    found = weigh_doubts(features, probabilities, [])
    assert found is not None
    assert (found.n_pictures, found.agreement) == (1, 0.0)  # two of its five neighbours have the other class
    assert weigh_doubts(features_of(places, probabilities.argmax(1)), probabilities, []) is None
    few = features_of(places[:3], torch.tensor([0, 1, 1]), probabilities[:3].argmax(1))
    assert weigh_doubts(few, probabilities[:3], []) is None
