"""What a fit of EPIC refuses, keeps back, chooses and says, whoever finds the mixing."""

import time
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import features_of, pictures, small_cnn

import likethat as lt
from likethat.coordinates import Rotation
from likethat.errors import InputError
from likethat.explainers.epic import fit as module
from likethat.explainers.epic.fit import EPICFit, Found, _check_enough, _notes
from likethat.features import Features, collect
from likethat.fitting.held_out import judge, kept_back, own_channels
from likethat.fitting.shrinkage import OWN, Choice
from likethat.functional.rotations import random_rotation
from likethat.sources.base import Skipped


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pictures(60)


@pytest.fixture(scope="module")
def model(images: Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4])


@pytest.fixture(scope="module")
def features(model: lt.SplitModel, images: Tensor) -> Features:
    return collect(model, lt.Images(images))


class Told:
    """A solver that turns the channels as it is told, and notes what it was asked."""

    def __init__(self, n_channels: int = 16) -> None:
        self.mixing = random_rotation(n_channels, rng=torch.Generator().manual_seed(0))
        self.asked: list[dict[str, Any]] = []

    def __call__(self, features: Features, slots: Tensor, head: Tensor, **more: Any) -> Tensor:
        self.asked.append({"slots": slots.tolist(), **more})
        return self.mixing


def fit(solver: Any, **more: Any) -> EPICFit:
    return EPICFit(method="told", chosen=lt.EPIC(n_prototypes=2), solve=solver, is_orthogonal=True, **more)


def test_a_fifth_is_kept_back_and_both_are_measured_there(model: lt.SplitModel, features: Features) -> None:
    solver = Told()
    found = fit(solver).find(model, features)
    back = kept_back(features, torch.zeros(60, dtype=torch.long), seed=0)
    (asked,) = solver.asked
    assert asked["slots"] == sorted(set(range(60)) - set(back.tolist()))
    assert (asked["shrinkage"], found.shrinkage) == (0.0, 0.0)
    rotation = Rotation(solver.mixing, model.head.weight)
    assert torch.equal(found.rotation.matrix(), solver.mixing)
    expected = judge(features, back, rotation).measures("held_out")
    expected |= judge(features, back, own_channels(model.head.weight)).measures("own")
    assert found.measures == {"held_out_images": 12.0} | expected


def test_fewer_than_five_that_could_be_kept_back_are_fitted_to(model: lt.SplitModel, images: Tensor) -> None:
    solver = Told()
    found = fit(solver, can_shrink=True).find(model, collect(model, lt.Images(images[:24])))
    (asked,) = solver.asked  # nor is there anything to choose by
    assert asked["slots"] == list(range(24))
    assert asked["shrinkage"] == 0.0
    assert found.measures == {"held_out_images": 0.0}
    assert "Too few images to keep 5 of them for measuring" in found.verdict
    assert fit(Told()).find(model, collect(model, lt.Images(images[:25]))).measures["held_out_images"] == 5


@pytest.mark.parametrize("shrinkage", [0.1, OWN])
def test_the_shrinkage_that_halves_bear_out_is_the_fits(
    shrinkage: float, model: lt.SplitModel, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = Told()

    def choose(_: Features, slots: Tensor, head: Tensor, solve: Any, **more: Any) -> Choice:
        assert more == {"coverage_weight": 0.5}
        solve(slots[:7], 0.3)
        return Choice(shrinkage=shrinkage, scores={})

    monkeypatch.setattr(module, "choose_shrinkage", choose)
    found = fit(solver, can_shrink=True, coverage_weight=0.5).find(model, features)
    assert solver.asked[0]["rounds"] < 8  # halves are for choosing: fewer rounds than the fit
    assert (len(solver.asked[0]["slots"]), solver.asked[0]["shrinkage"]) == (7, 0.3)
    assert found.shrinkage == shrinkage
    if shrinkage == OWN:
        assert len(solver.asked) == 1
        assert torch.equal(found.rotation.matrix(), torch.eye(16))
    else:
        assert solver.asked[1]["shrinkage"] == 0.1


HELD = {"held_out_images": 5.0, "own_purity": 0.5, "own_coverage_of_4": 0.6}


@pytest.mark.parametrize(
    ("shrinkage", "measures", "words"),
    [
        (0.1, HELD | {"held_out_images": 0.0}, "Too few images"),
        (OWN, HELD, "No rotation made the channels purer"),
        (0.1, HELD | {"held_out_purity": 0.4, "held_out_coverage_of_4": 0.9}, "this fit brings nothing"),
        (0.1, HELD | {"held_out_purity": 0.6, "held_out_coverage_of_4": 0.1}, "Four channels carry 10%"),
        (0.1, HELD | {"held_out_purity": 0.6, "held_out_coverage_of_4": 0.9}, ""),
    ],
)
def test_a_verdict_is_the_gravest_sentence_that_holds(shrinkage: float, measures: dict[str, float], words: str) -> None:
    rotation = Rotation(torch.eye(2), torch.ones(1, 2))
    verdict = Found(rotation=rotation, shrinkage=shrinkage, measures=measures, back=torch.arange(0)).verdict
    assert verdict.startswith(words) if words != "this fit brings nothing" else words in verdict
    assert bool(verdict) == bool(words)


def with_means(*rows: list[float]) -> Features:
    return features_of(torch.tensor(rows)[:, :, None])


def test_images_that_cannot_be_told_apart_are_refused() -> None:
    alike, one = [1.0, 2.0], [0.5, 0.25]
    with pytest.raises(InputError, match="must differ, got 2 images with the same features"):
        _check_enough(with_means(alike, alike), 1)
    _check_enough(with_means(one), 1)  # one image is like itself
    _check_enough(with_means(alike, [1.0, 2.5], alike), 3)  # one channel of one image differs, by less than 1
    with pytest.raises(InputError, match=r"at least n_prototypes = 3 images .* got 2 \(0 skipped\)"):
        _check_enough(with_means(alike, one), 3)


def test_what_is_said_of_a_fit() -> None:
    features = features_of(torch.ones(8, 2, 1))
    assert _notes(features, 0, 2) == []  # four times as many images as prototypes are enough
    assert _notes(features, 0, 3) == ["With 8 images, prototypes of different channels share many pictures."]
    assert _notes(features, 1, 1) == ["1 channel without variation on these images: no prototypes to show."]
    assert _notes(features, 1200, 1)[0].startswith("1,200 channels without variation")
    features.skipped = [Skipped(name="a.png", reason="it is gone")]
    features.kept, features.maps = torch.arange(5), features.maps[:5]
    notes = _notes(features, 2, 4)
    assert notes[0].startswith("2 channels")
    assert notes[1].startswith("The mixing was learned on 5 of 8 images")
    assert notes[2].startswith("With 8 images")
    assert notes[3:] == ["1 item could not be used; the list is below."]


def test_a_bank_tells_what_its_fit_measured(model: lt.SplitModel, images: Tensor) -> None:
    solver = Told()
    solver.mixing = torch.eye(16)
    before = time.perf_counter()
    bank = fit(solver).run(model, images)
    provenance = bank.provenance
    assert 0 < provenance.seconds <= time.perf_counter() - before
    positive = [item.purity for item in bank.prototypes if item.kind == "positive"]
    assert provenance.measures["purity"] == pytest.approx(sum(positive) / len(positive))
    assert provenance.measures["shrinkage"] == 0.0
    assert provenance.measures["dead_channels"] == 16 - len({item.unit for item in bank.prototypes})
    assert provenance.method == "told"


def test_one_image_shows_no_channel(model: lt.SplitModel, images: Tensor) -> None:
    bank = lt.EPIC(n_prototypes=1).fit(model, images[:1])
    assert not bank.prototypes
    assert bank.provenance.measures["purity"] == 0.0
    assert bank.provenance.measures["dead_channels"] == 16
