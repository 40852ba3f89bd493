"""Answers that follow the edge of a picture, by a network that reads it and by one that does not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import likethat as lt
from likethat.auditing.surroundings import _joined, _middle, _partners, find_surroundings
from likethat.explanations import ImageStore
from likethat.features import collect
from likethat.sources import as_source


class Weighed(nn.Module):
    """Each cell times a number of its own."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        """Weigh the cells."""
        return images * self.weight


def network(*, edge: bool) -> nn.Sequential:
    """Take the colour of the edge, or of the middle, for the class."""
    weight = 1 - _middle(torch.Size((16, 16))) if edge else torch.zeros(16, 16)
    weight[4:12, 4:12] = 0 if edge else 1
    head = nn.Linear(3, 3)
    with torch.no_grad():
        head.weight.copy_(torch.eye(3) * 20)
        head.bias.zero_()
    return nn.Sequential(Weighed(256 * weight / weight.sum()), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head).eval()


def pictures(n: int = 900) -> tuple[Tensor, Tensor]:
    """Return grey pictures with a little of their class's colour everywhere."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    images = 0.4 + 0.1 * torch.rand(n, 3, 16, 16, generator=rng)
    images[torch.arange(n), labels] += 0.3
    return images, labels


def found(*, edge: bool, n: int = 900, **options: Any) -> tuple[Any, ImageStore, lt.SplitModel]:
    images, labels = pictures(n)
    model = lt.split(network(edge=edge), example=images[:2], class_names=("red", "green", "blue"))
    source = as_source(lt.Images(images, labels=labels.tolist(), class_names=model.class_names))
    features = collect(model, source, **options)
    return *find_surroundings(model, source, features, n_pictures=4, seed=0), model


def test_a_network_that_reads_the_edge_is_told() -> None:
    one, shown, _ = found(edge=True)
    assert one.is_clear
    assert (one.kind, one.n_pictures, one.score, one.agreement) == ("surroundings", 135, 1.0, 1.0)
    assert one.n_predictions == 900
    assert one.what in ("red", "green", "blue")
    assert one.facts["strongest_pull"] == 1.0
    assert 0 < one.null < 0.4
    on = [each for each in one.pictures if each.is_on]
    off = [each for each in one.pictures if not each.is_on]
    assert len(on) == len(off) == 4
    for each, other in zip(on, off, strict=True):
        assert (each.index, each.label) == (other.index, other.label)
        assert other.predicted == other.label != each.predicted
        own, strange = shown[other.image] / 255, shown[each.image] / 255
        assert own[8, 8].argmax() == own[0, 0].argmax() == each.label
        assert (strange[8, 8].argmax(), strange[0, 0].argmax()) == (each.label, each.predicted)


def test_a_network_that_reads_the_middle_is_not_accused() -> None:
    one, shown, _ = found(edge=False)
    assert (one.is_clear, one.score, one.agreement, one.n_predictions) == (False, 0.0, 0.0, 0)
    assert (one.pictures, len(shown)) == ((), 0)


def test_pictures_that_are_not_held_are_read_again() -> None:
    whole, few = found(edge=True)[0], found(edge=True, memory_budget=2000)[0]
    assert {**vars(whole), "pictures": 0} == {**vars(few), "pictures": 0}


def test_few_pictures_say_nothing() -> None:
    assert found(edge=True, n=600)[0] is None  # of which 90 would be put into edges


def test_partners_are_others_of_the_same_class_or_of_another() -> None:
    labels = torch.arange(30) % 3
    rng = torch.Generator().manual_seed(0)
    for is_same in (True, False):
        partners = _partners(labels, is_same=is_same, rng=rng)
        assert bool(((labels[partners] == labels) == is_same).all())
        assert not bool((partners == torch.arange(30)).any())


def test_an_eighth_of_each_side_is_edge_with_a_soft_seam() -> None:
    mask = _middle(torch.Size((16, 32)))
    assert mask[8, 16] == 1
    assert mask[0, 0] == mask[0, 16] == mask[8, 0] == 0
    assert float(mask[8, 4]) == pytest.approx(2 / 3)  # its neighbour to the left is edge, of three
    views = torch.stack([torch.full((3, 16, 32), value, dtype=torch.uint8) for value in (255, 0)])
    joined = _joined(views, torch.tensor([0]), torch.tensor([1]), mask)
    torch.testing.assert_close(joined[0, 0], mask)
