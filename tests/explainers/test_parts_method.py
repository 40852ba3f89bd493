"""What a bank of parts is made of: options, prototypes of the class, figures."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import features_of, pictures, small_cnn

import likethat as lt
from likethat.coordinates import HeadParts
from likethat.errors import InputError
from likethat.explainers.parts.method import _use_of

pytestmark = pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random
LABELS = [index % 2 for index in range(40)]


@pytest.fixture(scope="module")
def images() -> Tensor:
    return pictures(40)


@pytest.fixture(scope="module")
def model(images: Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4])


class Made:
    """One fit, and how long the caller waited for it."""

    def __init__(self, model: lt.SplitModel, images: Tensor) -> None:
        begun = time.perf_counter()
        self.bank = lt.PartPrototypes(6, n_prototypes=2).fit(model, images, labels=LABELS)
        self.waited = time.perf_counter() - begun


@pytest.fixture(scope="module")
def made(model: lt.SplitModel, images: Tensor) -> Made:
    return Made(model, images)


@pytest.mark.slow
def test_the_figures_of_a_bank_are_those_of_its_records(made: Made, model: lt.SplitModel, images: Tensor) -> None:
    provenance, parts = made.bank.provenance, made.bank.coordinates
    assert 0 < provenance.seconds <= made.waited
    assert provenance.measures["purity"] == pytest.approx(
        sum(item.purity for item in made.bank.prototypes) / len(made.bank.prototypes)
    )
    assert provenance.measures["parts_per_class"] == parts.n_units / 3
    assert {item.kind for item in made.bank.prototypes} == {"positive"}
    assert provenance.unit == "part"
    for item in made.bank.prototypes:
        assert LABELS[item.index] == int(parts.class_of[item.unit])  # type: ignore[attr-defined]
    contributions = np.stack([made.bank.explain(image).contributions for image in images])
    use = torch.from_numpy(contributions).double()
    positive = use.clamp_min(0).sort(dim=1, descending=True).values
    covered = positive[:, :4].sum(1) / positive.sum(1)
    assert provenance.measures["coverage_of_4"] == pytest.approx(float(covered.mean()), rel=1e-4)
    assert made.bank.usage.tolist() == pytest.approx(use.abs().mean(0).tolist(), rel=1e-4, abs=1e-6)


def test_contributions_are_those_to_the_class_that_each_image_is_given() -> None:
    parts = HeadParts(torch.eye(3), torch.tensor([0, 0, 1]), torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    features = features_of(torch.arange(1.0, 13.0).reshape(4, 3, 1), predicted=torch.tensor([1, 0, 0, 1]))
    use = _use_of(features, parts)  # (0, 0, 3), (4, 5, 0), (7, 8, 0), (0, 0, 12)
    assert use.per_channel.tolist() == [11 / 4, 13 / 4, 15 / 4]
    assert use.coverage == 1


@pytest.mark.parametrize(
    ("algorithm", "parts", "message"),
    [
        ("named", None, "`parts` must be marks of parts for algorithm='named', got None"),
        ("named", [1], r"`parts` must be likethat\.Marks, got \[1\]"),
        ("ownership", [1], r"`parts` must be likethat\.Marks, got \[1\]"),
        ("ownership", lt.Marks.of({}), "`algorithm` must be 'named' where `parts` are given, got 'ownership'"),
    ],
)
def test_marks_and_algorithm_belong_together(algorithm: Any, parts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.PartPrototypes(algorithm=algorithm)._check_marks(parts)


def test_marks_are_right_where_they_are_asked_for() -> None:
    lt.PartPrototypes(algorithm="named")._check_marks(lt.Marks.of({}))
    lt.PartPrototypes()._check_marks(None)


def test_nothing_is_measured_where_nothing_is_kept_back(model: lt.SplitModel, images: Tensor) -> None:
    few = lt.PartPrototypes(2, n_prototypes=1).fit(model, images[:4], labels=[0, 0, 1, 1])
    assert few.provenance.measures["held_out_images"] == 0
    assert not any(name.startswith(("held_out_purity", "own", "deletion")) for name in few.provenance.measures)
    assert few.provenance.warning.startswith("Too few images of any class")


def test_no_label_no_prototype(model: lt.SplitModel, images: Tensor) -> None:
    empty = lt.PartPrototypes(2, n_prototypes=1).fit(model, images[:4], labels=[-1] * 4)
    assert not empty.prototypes
    assert empty.provenance.measures["purity"] == 0.0
