"""A head of somebody else's on a feature extractor: the logits are those of the head on the extractor's features."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from model_networks import randomise, small_cnn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import nn

from likethat.errors import InputError, ModelError
from likethat.models import split

IMAGES = torch.rand(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def extractor() -> nn.Module:
    torch.manual_seed(0)
    return randomise(small_cnn())[:-1].eval()


@pytest.fixture(scope="module")
def features(extractor: nn.Module) -> np.ndarray[Any, Any]:
    return extractor(IMAGES).detach().numpy().astype(np.float64)


THREE, TWO = np.array(["ant", "bee", "cat"] * 4), np.array(["no", "yes"] * 6)


def relative(values: Any, expected: Any) -> float:
    values, expected = np.asarray(values), np.asarray(expected)
    return float(np.abs(values - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(
    "head",
    [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression()), RidgeClassifier()],
    ids=["alone", "behind a scaler", "without probabilities"],
)
def test_three_classes_of_scikit_learn(extractor: nn.Module, features: Any, head: Any) -> None:
    head.fit(features, THREE)
    model = split(extractor, example=IMAGES, head=head)
    output = model.forward(IMAGES)
    assert (model.class_names, model.pooling, model.outputs) == (("ant", "bee", "cat"), "mean", "softmax")
    assert relative(output.logits.detach().numpy(), head.decision_function(features)) <= 1e-5
    assert relative((output.pooled @ model.head.weight.T + model.head.bias).detach(), output.logits.detach()) <= 1e-5


def test_two_classes_are_one_logit(extractor: nn.Module, features: Any) -> None:
    head = LogisticRegression().fit(features, TWO)
    model = split(extractor, example=IMAGES, head=head)
    probabilities = model.probabilities(model.logits(IMAGES)).detach().numpy()
    assert (model.class_names, model.outputs) == (("yes",), "sigmoid")
    assert relative(probabilities[:, 0], head.predict_proba(features)[:, 1]) <= 1e-5


def test_coefficients_and_layers(extractor: nn.Module, features: Any) -> None:
    linear = nn.Linear(12, 3)
    pair = (linear.weight.detach().numpy(), linear.bias.detach().numpy())
    for head in (linear, pair, [pair[0].tolist(), pair[1].tolist()]):
        model = split(extractor, example=IMAGES, head=head, class_names=["a", "b", "c"])
        assert relative(model.logits(IMAGES).detach(), linear(extractor(IMAGES)).detach()) <= 1e-6
    alone = split(extractor, example=IMAGES, head=(pair[0][0], None))
    assert relative(alone.logits(IMAGES).detach().numpy()[:, 0], features @ pair[0][0]) <= 1e-5


def test_the_extractor_comes_back_as_it_was() -> None:
    network = small_cnn()[:-1].train()
    with pytest.warns(UserWarning, match="in training mode"):
        model = split(network, example=IMAGES, head=(torch.randn(2, 12), None))
    assert network.training
    assert model.network.extractor is network
    assert model.name == "Sequential"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda x: RandomForestClassifier().fit(x, THREE), "must be a linear head, got a RandomForestClassifier"),
        (
            lambda x: make_pipeline(PolynomialFeatures(), LogisticRegression()).fit(x, THREE),
            "got Pipeline, whose decision function is not",
        ),
        (lambda x: OneVsRestClassifier(LogisticRegression()).fit(x, THREE), "one against the rest"),
        (lambda _: LogisticRegression(), "must be fitted, got LogisticRegression"),
        (lambda _: (np.zeros((3, 12)), np.zeros(2)), r"shapes \(3, 12\) and \(2,\)"),
        (lambda _: (np.full((3, 12), np.nan), np.zeros(3)), "finite numbers, got NaN or infinity in coef"),
        (lambda _: (["a"], None), "must hold numbers"),
        (lambda _: 3, "must be a linear head, got 3"),
    ],
)
def test_heads_that_are_refused(extractor: nn.Module, features: Any, make: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        split(extractor, example=IMAGES, head=make(features))


def test_the_advice_for_one_against_the_rest_works(extractor: nn.Module, features: Any) -> None:
    head = OneVsRestClassifier(LogisticRegression()).fit(features, THREE)
    coef = np.concatenate([one.coef_ for one in head.estimators_])
    intercept = np.concatenate([one.intercept_ for one in head.estimators_])
    model = split(extractor, example=IMAGES, head=(coef, intercept))
    assert relative(model.logits(IMAGES).detach().numpy(), head.decision_function(features)) <= 1e-5


def test_a_head_of_another_width(extractor: nn.Module) -> None:
    with pytest.raises(ModelError, match=re.escape("one vector of 7 numbers an image, as `head` takes, got (2, 12)")):
        split(extractor, example=IMAGES, head=(np.zeros((3, 7)), None))
