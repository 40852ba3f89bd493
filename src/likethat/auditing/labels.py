"""Labels that may be wrong: the model's evidence is another class's."""

import torch
from torch import Tensor

from likethat.auditing.shortcuts import picture_of
from likethat.explanations.audit import DoubtfulLabel
from likethat.features import Features

_TIMES = 20.0
"""As likely as the label the other class must be: a network of 73 % would else doubt each sixth label of photos."""


def find_doubtful(features: Features, probabilities: Tensor, *, n: int) -> tuple[int, list[DoubtfulLabel]]:
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
    labels, predicted = features.labels, features.predicted
    labelled = labels >= 0
    own = probabilities.gather(1, labels.clamp_min(0)[:, None])[:, 0]
    sums = torch.zeros(probabilities.shape[1], dtype=torch.float64).index_add(0, labels[labelled], own[labelled])
    usual = sums / torch.bincount(labels[labelled], minlength=len(sums)).clamp_min(1)
    other = probabilities.gather(1, predicted[:, None])[:, 0]
    is_doubtful = labelled & (predicted != labels) & (other >= usual[predicted].clamp_min(1e-9))
    is_doubtful &= other >= _TIMES * own
    rows = is_doubtful.nonzero()[:, 0]
    rows = rows[(own - other)[rows].argsort(stable=True)][:n]
    found = [
        DoubtfulLabel(picture=picture_of(features, row), own=float(own[row]), other=float(other[row]))
        for row in rows.tolist()
    ]
    return int(is_doubtful.sum()), found
