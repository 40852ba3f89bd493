"""Labels that may be wrong: the model's evidence is another class's."""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from torch import Tensor

from likethat.auditing.shortcuts import picture_of
from likethat.explanations.audit import DoubtfulLabel, Finding
from likethat.features import Features
from likethat.functional.shares import share_interval

_TIMES = 20.0
"""As likely as the label the other class must be: a network of 73 % would else doubt each sixth label of photos."""
_NEAREST, _BLOCK = 5, 256  # pictures that are asked, of which most decide; doubted pictures compared at a time
_POWERS = (-3.0, 3.0)  # of e, of temperatures: networks trained to the end want 1 to 4, none 20
_FITTED = 4096  # labels that two numbers are fitted to
_FROM = (0.0, -4.0)  # the model as it is, and two labels of a hundred wrong


def find_doubtful(
    features: Features, probabilities: Float[Tensor, "image cls"], *, n: int
) -> tuple[int, list[DoubtfulLabel]]:
    """Return how many labels are doubtful, and the n of them that the model finds least likely.

    Source:
        Northcutt, Jiang, Chuang (2021), Confident learning, eq. 1 and 2: a picture of label i is counted as of class j
        where j's probability is at least the mean that pictures of label j get for j; here j is the predicted class.

    Differs:
        The predicted class must also be `_TIMES` as likely as the label.

    Args:
        features: of one pass; pictures without a label are passed over.
        probabilities: (image, class) of the model.
        n: how many at most.
    """
    own, other, _ = _evidence(features, probabilities)
    is_doubtful = _doubted(features, probabilities)
    rows = is_doubtful.nonzero()[:, 0]
    rows = rows[(own - other)[rows].argsort(stable=True)][:n]
    found = [
        DoubtfulLabel(picture=picture_of(features, row, is_on=True), own=float(own[row]), other=float(other[row]))
        for row in rows.tolist()
    ]
    return int(is_doubtful.sum()), found


def weigh_doubts(
    features: Features, probabilities: Float[Tensor, "image cls"], shown: list[DoubtfulLabel]
) -> Finding | None:
    """Return what all doubtful labels together amount to; None where there are none, or hardly any labels.

    The null is the share that would be doubted if every label were right and the model no surer than it may be: its
    probabilities, drawn together until they fit these labels best (temperature scaling, Guo et al. 2017), say how often
    a true label is one that it finds so unlikely.

    Args:
        features: of one pass.
        probabilities: (image, class) of the model.
        shown: the doubtful labels whose pictures are shown.
    """
    is_doubtful, labelled = _doubted(features, probabilities), features.labels >= 0
    n, n_labelled = int(is_doubtful.sum()), int(labelled.sum())
    if not n or n_labelled <= _NEAREST:
        return None
    _, other, usual = _evidence(features, probabilities)
    given, surest = probabilities[labelled], other[labelled, None]
    unlikely = (surest >= _TIMES * given) & (surest >= usual[features.predicted[labelled], None])
    sober = _sober(given, features.labels[labelled])
    return Finding(
        kind="labels",
        score=n / n_labelled,
        interval=share_interval(n, n_labelled),
        null=float((sober * unlikely).sum(1).mean()),
        agreement=_agreement(features, is_doubtful),
        n_pictures=n,
        n_predictions=n,
        facts={},
        pictures=tuple(one.picture for one in shown),
    )


def _evidence(
    features: Features, probabilities: Float[Tensor, "image cls"]
) -> tuple[Float[Tensor, " image"], Float[Tensor, " image"], Float[Tensor, " cls"]]:
    """Return the probability of the label, that of the predicted class, and what a class's own pictures get for it."""
    labels, labelled = features.labels, features.labels >= 0
    own = probabilities.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    sums = torch.zeros(probabilities.shape[1], dtype=torch.float64).index_add(0, labels[labelled], own[labelled])
    usual = sums / torch.bincount(labels[labelled], minlength=len(sums)).clamp_min(1)
    return own, probabilities.gather(1, features.predicted[:, None])[:, 0], usual.clamp_min(1e-9)


def _doubted(features: Features, probabilities: Float[Tensor, "image cls"]) -> Bool[Tensor, " image"]:
    own, other, usual = _evidence(features, probabilities)
    labels, predicted = features.labels, features.predicted
    return (labels >= 0) & (predicted != labels) & (other >= usual[predicted]) & (other >= _TIMES * own)


def _sober(probabilities: Float[Tensor, "image cls"], labels: Tensor) -> Float[Tensor, "image cls"]:
    """Return the probabilities at the temperature under which the labels are likeliest, some of which may be wrong.

    A label is one drawn from them or, at a rate that is found with the temperature, any class at all: wrong labels
    alone would make a model that is right look too sure.
    """
    logits, n_classes = probabilities.clamp_min(1e-12).log(), probabilities.shape[1]
    some = torch.linspace(0, len(labels) - 1, min(len(labels), _FITTED), dtype=torch.float64).long()
    fitted, given = logits[some], labels[some, None]

    def surprise(powers: np.ndarray) -> float:
        power, rate = (torch.tensor(float(one), dtype=torch.float64) for one in powers)
        said = (fitted / power.clamp(*_POWERS).exp()).softmax(1).gather(1, given)
        wrong = rate.sigmoid()
        return -float(((1 - wrong) * said + wrong / n_classes).log().mean())

    power = float(minimize(surprise, _FROM, method="Nelder-Mead").x[0])
    return (logits / math.exp(min(max(power, _POWERS[0]), _POWERS[1]))).softmax(1)


def _agreement(features: Features, is_doubtful: Bool[Tensor, " image"]) -> float:
    """Return of what share of the doubted pictures most of the nearest others have the predicted class as label."""
    known = (features.labels >= 0).nonzero()[:, 0]
    mean, width = features.pooled.mean(0), features.pooled.std(0).clamp_min(1e-6)
    seen = (features.pooled[known] - mean) / width
    agree = 0
    for rows in is_doubtful.nonzero()[:, 0].split(_BLOCK):
        apart = torch.cdist((features.pooled[rows] - mean) / width, seen)
        apart[rows[:, None] == known[None]] = torch.inf
        near = features.labels[known[apart.topk(_NEAREST, largest=False).indices]]
        agree += int(((near == features.predicted[rows, None]).sum(1) * 2 > _NEAREST).sum())
    return agree / int(is_doubtful.sum())
