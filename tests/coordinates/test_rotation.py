"""Mixing then unmixing leaves the logits."""

import pytest
import torch

from likethat.coordinates import Rotation
from likethat.errors import InputError
from likethat.functional import contributions, purity, random_rotation, rotation_from


@pytest.mark.parametrize("orthogonal", [True, False])
def test_summands_add_up_to_the_head(orthogonal: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    head = torch.randn(5, 32, generator=rng)
    mixing = (
        random_rotation(32, rng=rng)
        if orthogonal
        else rotation_from(torch.randn(32, 32, generator=rng) / 6, orthogonal=False)
    )
    rotation = Rotation(mixing, head, orthogonal=orthogonal)
    for target in range(5):
        torch.testing.assert_close(rotation.summands(target).sum(0), head[target].double(), atol=2e-5, rtol=0)


def test_own_channels_supply_without_a_product() -> None:
    rng = torch.Generator().manual_seed(0)
    head, vectors = torch.randn(3, 6, generator=rng), torch.randn(4, 6, generator=rng)
    own = Rotation(torch.eye(6), head)
    assert torch.equal(own.mixed_head, head.double())
    assert torch.equal(own.supplied(1, vectors), vectors.double() * head[1].double())
    assert torch.equal(own.supplied(1, vectors, 2), (vectors.double() * head[1].double())[:, 2:3])
    assert torch.equal(own.supplied_each(torch.tensor([2, 0, 1, 0]), vectors), vectors.double() * head[[2, 0, 1, 0]])


def test_contributions_by_hand() -> None:
    # A quarter turn: channel 0 becomes -(old 1), channel 1 becomes old 0. v = (3, 5), head (2, 1): logit 11.
    rotation = Rotation(torch.tensor([[0.0, -1.0], [1.0, 0.0]]), torch.tensor([[2.0, 1.0]]))
    values = contributions(torch.tensor([3.0, 5.0]), rotation.summands(0))
    assert values.tolist() == [5.0, 6.0]


def test_purity_is_that_of_the_mixed_vector() -> None:
    rotation = Rotation(torch.tensor([[0.0, -1.0], [1.0, 0.0]]), torch.eye(2))
    # (3, 4) becomes (-4, 3): cosines -.8 and .6.
    values = rotation.purity(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([0, 1]))
    assert values.tolist() == pytest.approx([-0.8, 0.6])


@pytest.mark.parametrize("orthogonal", [True, False])
def test_purity_and_what_is_supplied_are_those_of_the_whole_matrix(orthogonal: bool) -> None:
    rng = torch.Generator().manual_seed(2)
    turned, stretched = (
        random_rotation(12, rng=rng),
        rotation_from(torch.randn(12, 12, generator=rng), orthogonal=False),
    )
    rotation = Rotation(turned if orthogonal else stretched, torch.randn(3, 12, generator=rng), orthogonal=orthogonal)
    vectors, units = torch.randn(5, 12, generator=rng), torch.tensor([3, 0, 3, 11, 7])
    vectors[1] = 0  # no direction: 0
    found = rotation.purity(vectors, units)
    torch.testing.assert_close(found, purity(vectors @ rotation.matrix().T, units))
    assert found[1] == 0
    supplied = rotation.supplied(2, vectors)
    torch.testing.assert_close(supplied, contributions(vectors, rotation.summands(2)))
    for place in (0, 11):
        torch.testing.assert_close(rotation.supplied(2, vectors, place), supplied[:, place : place + 1])
        less = supplied[:, place] - rotation.supplied(1, vectors)[:, place]
        torch.testing.assert_close(rotation.supplied(2, vectors, place, against=1)[:, 0], less)
        torch.testing.assert_close(rotation.supplied(2, vectors, against=1)[:, place], less)
    each = rotation.supplied_each(torch.arange(len(vectors)) % 3, vectors)
    for row, given in enumerate(each):
        torch.testing.assert_close(given, rotation.supplied(row % 3, vectors)[row])


def test_wrong_shape() -> None:
    with pytest.raises(InputError, match=r"must be \(channel, channel\) = \(3, 3\) .* got \(2, 2\)"):
        Rotation(torch.eye(2), torch.ones(4, 3))


def test_an_orthogonal_matrix_is_undone_by_its_transpose_and_that_is_the_default() -> None:
    mixing, head = torch.tensor([[2.0, 1.0], [0.0, 4.0]]), torch.tensor([[1.0, 3.0], [2.0, 0.0], [0.0, 8.0]])
    rotation = Rotation(mixing, head)
    assert rotation.orthogonal
    assert rotation.inverse().tolist() == [[2.0, 0.0], [1.0, 4.0]]
    general = Rotation(mixing, head, orthogonal=False)
    assert general.inverse().tolist() == [[0.5, -0.125], [0.0, 0.25]]  # 1/2, -1 / (2 * 4), 1/4
    assert general.mixed_head.tolist() == [[0.5, 0.625], [1.0, -0.25], [0.0, 2.0]]
    assert general.summands(0).tolist() == [[1.0, 0.5], [0.0, 2.5]]
    assert (general.n_units, general.unit_names) == (2, ("channel 0", "channel 1"))
    assert general.units_of(2).tolist() == [0, 1]
    assert general.detectors(torch.tensor([1, 0])).tolist() == [[0.0, 4.0], [2.0, 1.0]]
