"""What a fit keeps back and measures there; a rotation that leaves the network's own channels only where it pays."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from toys import features_of, pictures, small_cnn

import likethat as lt
from likethat.cli.fitting import _measures
from likethat.coordinates import HeadParts, Rotation
from likethat.features import Features, collect
from likethat.features.rows import priority
from likethat.fitting.held_out import (
    Estimate,
    Judged,
    judge,
    kept_back,
    little_sentence,
    nothing_sentence,
    own_channels,
    purity_of_units,
)
from likethat.fitting.rotation import Schedule, _usage, fit_procrustes
from likethat.fitting.shrinkage import OWN, choose_shrinkage
from likethat.functional.rotations import random_rotation

HEAD = torch.eye(3, dtype=torch.float32)


def planted(n: int, *, noise: float, seed: int = 0) -> Features:
    """Orthonormal concepts, each alone at one cell of some images, under noise."""
    rng = torch.Generator().manual_seed(seed)
    concepts = random_rotation(24, rng=rng)
    maps = noise * torch.randn(n, 24, 9, generator=rng)
    for index in range(n):
        maps[index, :, index % 9] += concepts[index % 24]
    return features_of(maps)


def test_one_image_in_five_of_each_class_is_kept_back() -> None:
    features = features_of(torch.rand(24, 3, 2))
    classes = torch.tensor([0] * 12 + [1] * 4 + [-1] * 8)
    back = kept_back(features, classes, seed=0)
    assert classes[back].tolist() == [0, 0]  # a class of four gives none, no class none
    assert not torch.equal(back, kept_back(features, classes, seed=1))


def test_which_are_kept_back_depends_on_no_order() -> None:
    features = features_of(torch.rand(40, 3, 2))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    turned = dataclasses.replace(features, indices=features.indices[order])
    zeros = torch.zeros(40, dtype=torch.long)
    back = kept_back(features, zeros, seed=3)
    assert len(back) == 8
    assert sorted(order[kept_back(turned, zeros, seed=3)].tolist()) == back.tolist()


def test_one_in_five_is_rounded_down_and_more_are_kept_back_of_larger_classes() -> None:
    features = features_of(torch.rand(33, 3, 2))
    classes = torch.tensor([0] * 5 + [1] * 9 + [2] * 19)
    back = kept_back(features, classes, seed=0)
    assert classes[back].tolist() == [0, 1, 2, 2, 2]
    assert back.tolist() == sorted(back.tolist())
    held = dataclasses.replace(features, kept=torch.arange(3, 33), maps=features.maps[3:])
    assert classes[held.kept[kept_back(held, classes, seed=0)]].tolist() == [1, 2, 2, 2]  # of those whose maps are held


def test_what_is_kept_back_is_another_draw_than_that_of_the_maps() -> None:
    features = features_of(torch.rand(400, 1, 1))
    back = set(kept_back(features, torch.zeros(400, dtype=torch.long), seed=0).tolist())
    first = set(sorted(range(400), key=lambda index: priority(0, index))[:80])  # whose maps a small memory holds
    assert 5 < len(back & first) < 30  # 16 of 80 where two draws know nothing of each other


def test_the_same_seed_keeps_back_the_same_images_as_ever() -> None:
    back = kept_back(features_of(torch.rand(40, 1, 1)), torch.zeros(40, dtype=torch.long), seed=3)
    assert back.tolist() == [1, 7, 8, 9, 10, 13, 23, 32]  # the bytes of banks rest on it


def test_what_is_not_known_is_no_figure() -> None:
    nothing = Estimate.of(torch.tensor([float("nan")] * 2))
    assert nothing.mean != nothing.mean
    single = Estimate.of(torch.tensor([0.5, float("nan")]))
    assert single.mean == 0.5
    assert single.error != single.error
    four = Estimate.of(torch.tensor([0.0, 0.0, 2.0, 2.0]))
    assert four.error == pytest.approx((4 / 3) ** 0.5 / 2)  # the spread of draws over the root of their number
    found = Judged(n_images=1, purity=four, coverage=single, entropy=nothing).measures("held_out")
    assert found == {
        "held_out_purity": 1.0, "held_out_purity_error": four.error, "held_out_coverage_of_4": 0.5,
    }  # fmt: skip


def test_figures_by_hand() -> None:
    maps = torch.zeros(4, 3, 1)
    maps[0, :, 0] = torch.tensor([3.0, 4.0, 0.0])  # kept out of the judgement
    maps[1, :, 0] = torch.tensor([4.0, 3.0, 0.0])
    maps[2, :, 0] = torch.tensor([1.0, 0.0, 0.0])
    maps[3, :, 0] = torch.tensor([0.0, 0.0, 2.0])
    features = features_of(maps, labels=torch.tensor([0, 0, 1, 1]))
    found = judge(features, torch.tensor([1, 2, 3]), own_channels(HEAD), n=2)
    # Channel 0: .8 and 1, classes 0 and 1; channel 1: .6 and 0, classes 0 and 1; channel 2: 1 and 0, classes 1 and 0.
    assert found.purity.mean == pytest.approx((0.9 + 0.3 + 0.5) / 3)
    assert found.entropy.mean == pytest.approx(1.0)
    assert found.coverage.mean == pytest.approx(2 / 3)  # the head reads channel 0 alone: nothing in the last picture
    assert found.n_images == 3
    values = Estimate.of(torch.tensor([1.0, 3.0, float("nan")]))
    assert (values.mean, values.error) == (2.0, pytest.approx(1.0))  # sd sqrt(2) over sqrt(2)


def test_coverage_is_that_of_the_class_that_each_image_is_given() -> None:
    maps = torch.tensor([[1.0, 1, 1, 1, 1, 0], [3.0, 3, 3, 3, 0, 4]])[:, :, None]
    head = torch.tensor([[1.0, 1, 1, 1, 1, 1], [1.0, 1, 1, 1, 1, 1]])
    features = features_of(maps, predicted=torch.tensor([1, 0]))
    found = judge(features, torch.tensor([0, 1]), own_channels(head), n=1)
    assert found.coverage.mean == pytest.approx((4 / 5 + 13 / 16) / 2)  # the four largest of five
    negative = torch.tensor([[0.0, 0, 0, 0, 0, 1], [1.0, 1, 1, 1, 1, 1]])
    assert judge(features, torch.tensor([0, 1]), own_channels(negative), n=1).coverage.mean == pytest.approx(0.9)


def test_classes_of_images_are_labels_and_where_there_is_none_what_the_network_says() -> None:
    maps = torch.tensor([[4.0], [3.0], [2.0], [1.0]])[:, :, None]
    features = features_of(maps, labels=torch.tensor([0, 0, -1, -1]), predicted=torch.tensor([1, 1, 0, 1]))
    purity, entropy = purity_of_units(features, torch.arange(4), own_channels(torch.ones(2, 1)), torch.arange(1), n=4)
    # Classes 0, 0, 0 and 1: each shares its class with 3, 3, 3 and 1 of four.
    assert entropy.tolist() == pytest.approx([-(3 * math.log2(3 / 4) + math.log2(1 / 4)) / 4])
    assert purity.tolist() == [1.0]


def test_parts_are_judged_by_the_images_of_their_class() -> None:
    maps = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]])
    parts = HeadParts(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
    found = judge(features_of(maps), torch.tensor([0, 1]), parts, classes=torch.tensor([0, 1]))
    assert found.purity.mean == 1  # each of its own image; over all images it would be one half
    assert "own_class_entropy" not in found.measures("own")
    none = judge(features_of(maps), torch.tensor([0, 1]), parts, classes=torch.tensor([0, -1]))
    assert none.purity.mean == 1  # the second class has no image to be judged by
    assert none.purity.error != none.purity.error


def test_a_rotation_that_other_images_bear_out_is_kept_and_one_that_they_do_not_is_given_up() -> None:
    schedule = Schedule(first=20, last=10, rounds=3)

    def choose(features: Features, coverage_weight: float = 0.0) -> float:
        def solve(slots: torch.Tensor, shrinkage: float) -> torch.Tensor:
            return fit_procrustes(features, schedule.for_images(len(slots)), among=slots, shrinkage=shrinkage)

        head = torch.ones(2, 24, dtype=torch.float32)
        slots = torch.arange(len(features))
        return choose_shrinkage(features, slots, head, solve, coverage_weight=coverage_weight).shrinkage

    assert choose(planted(480, noise=0.02)) < 0.3
    rng = torch.Generator().manual_seed(0)
    sparse = torch.rand(30, 24, 9, generator=rng) * (torch.rand(30, 24, 9, generator=rng) < 0.15)
    assert choose(features_of(sparse)) == OWN  # its own channels are what there is to find


def test_purer_channels_that_carry_less_are_given_up() -> None:
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    concepts = torch.kron(torch.kron(signs, signs), signs) / 8**0.5
    features = features_of(concepts.T[None].repeat(20, 1, 1))  # each picture has all eight concepts, one a cell
    slots = torch.arange(20)
    # The concepts are pure (1 against .35), but the head reads one of the network's own channels: each has an eighth.
    reads_one, reads_a_concept = torch.eye(8)[:1], concepts[:1]
    assert choose_shrinkage(features, slots, reads_one, lambda _half, _shrinkage: concepts).shrinkage == OWN
    assert choose_shrinkage(features, slots, reads_a_concept, lambda _half, _shrinkage: concepts).shrinkage != OWN


def test_a_large_shrinkage_leaves_the_channels_as_they_are() -> None:
    features, schedule = planted(96, noise=0.1), Schedule(first=10, last=5, rounds=2)
    turned = [fit_procrustes(features, schedule, shrinkage=value).diag().mean() for value in (0.0, 0.3, 100.0)]
    assert turned[0] < turned[1] < turned[2]
    assert float(turned[2]) == pytest.approx(1, abs=1e-3)


def test_images_that_are_kept_back_change_nothing() -> None:
    features, schedule = planted(96, noise=0.1), Schedule(first=10, last=5, rounds=2)
    among = torch.arange(0, 96, 2)
    before = fit_procrustes(features, schedule, among=among, condition=4.0)
    features.maps[1::2] = 7.0
    features.means[1::2] = 7.0
    assert torch.equal(before, fit_procrustes(features, schedule, among=among, condition=4.0))


def test_use_weighs_as_much_where_channels_are_many_and_alike() -> None:
    rng = torch.Generator().manual_seed(0)
    means, predicted = torch.rand(50, 16, generator=rng), torch.zeros(50, dtype=torch.long)
    unequal = torch.linspace(-1, 1, 16).exp()[None]
    for head in (unequal, unequal.pow(0.1)):
        logs = _usage(means, predicted, torch.eye(16), head).log()
        assert float(logs.std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_bank_says_what_it_is_worth_on_other_images() -> None:
    images = pictures()
    model = lt.split(small_cnn(), example=images[:4])
    bank = lt.EPIC(n_prototypes=3).fit(model, images)
    measures = bank.provenance.measures
    assert measures["held_out_images"] == 18
    assert measures["held_out_purity"] >= measures["own_purity"] - measures["own_purity_error"]
    assert {"held_out_coverage_of_4", "own_coverage_of_4", "held_out_class_entropy"} <= measures.keys()


def test_few_images_keep_the_networks_own_channels_and_say_so() -> None:
    rng = torch.Generator().manual_seed(0)
    colours = torch.eye(3)[torch.randint(3, (30, 4, 4), generator=rng)] * torch.rand(30, 4, 4, 1, generator=rng)
    images = colours.permute(0, 3, 1, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
    pure = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)).eval()
    model = lt.split(pure, preprocess=None, example=images[:4])  # its channels are the colours: no mixing is purer
    bank = lt.EPIC(n_prototypes=3).fit(model, images)
    assert isinstance(bank.coordinates, Rotation)
    assert torch.equal(bank.coordinates.matrix(), torch.eye(3))
    assert "shows the network's own channels" in bank.provenance.warning
    assert bank.provenance.warning in bank.explain(images[0]).warnings
    fewer = lt.EPIC(n_prototypes=3).fit(model, images[:20])
    assert "Too few images to keep 5 of them for measuring" in fewer.provenance.warning


def test_a_method_that_brings_nothing_says_so() -> None:
    measures = {"held_out_purity": 0.11, "own_purity": 0.17, "held_out_purity_error": 0.01}
    assert "this fit brings nothing" in nothing_sentence(measures)
    assert not nothing_sentence(measures | {"held_out_purity_error": 0.07})
    assert not nothing_sentence(measures | {"own_purity_error": 0.07})  # the larger of both counts
    assert nothing_sentence({"held_out_purity": 0.11, "own_purity": 0.17})  # no error is none
    assert not nothing_sentence({"held_out_purity": 0.17, "own_purity": 0.17})
    assert "each part is less pure" in nothing_sentence(measures, noun="part")


def test_four_rows_that_carry_little_are_said() -> None:
    assert "Four channels carry 11%" in little_sentence({"held_out_coverage_of_4": 0.11})
    assert not little_sentence({"held_out_coverage_of_4": 0.2})


def test_a_console_shows_figures_with_their_errors() -> None:
    measures = {"held_out_images": 18.0, "own_purity": 0.4, "own_purity_error": 0.02, "backbone_seconds": 1.0}
    assert _measures(measures) == {"held out images": "18", "own purity": "0.4 ± 0.02"}


@pytest.mark.slow
def test_several_options_from_one_pass() -> None:
    images = pictures()
    model = lt.split(small_cnn(), example=images[:4])
    features = collect(model, lt.Images(images))
    for options in ({}, {"usage_weight": 1.0}, {"mixing": "whitened"}):
        epic = lt.EPIC(n_prototypes=3, **options)  # type: ignore[arg-type]
        found, bank = epic.find(model, features), epic.fit(model, images)
        assert isinstance(bank.coordinates, Rotation)
        assert torch.equal(found.rotation.matrix(), bank.coordinates.matrix())
        assert found.measures.items() <= bank.provenance.measures.items()
