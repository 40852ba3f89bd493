"""How the logits use channels, by hand."""

import pytest
import torch
from toys import features_of

from likethat.coordinates import Rotation
from likethat.fitting.usage import usage_of


def test_use_by_hand_whatever_the_block() -> None:
    values = torch.tensor([[1.0, 2.0, 0.0, 0.0, 3.0], [0.0, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    features = features_of(values[:, :, None], predicted=torch.tensor([0, 1, 0]))
    head = torch.tensor([[1.0, -2.0, 1.0, 1.0, 4.0], [5.0, 2.0, 1.0, 2.0, 1.0]])
    rotation = Rotation(torch.eye(5, dtype=torch.float32), head)
    # Contributions: (1, -4, 0, 0, 12), (0, 2, 1, 2, 1) and (1, -2, 1, 1, 4). In the second four of five carry all of
    # the 6, in the third all four that speak for the class its 7.
    for block in (1, 2, 8192):
        found = usage_of(features, rotation, block=block)
        assert found.per_channel.tolist() == pytest.approx([2 / 3, 8 / 3, 2 / 3, 1, 17 / 3])
        assert found.coverage == pytest.approx(1.0)
    spread = features_of(torch.ones(2, 5, 1))
    assert usage_of(spread, Rotation(torch.eye(5), torch.ones(1, 5))).coverage == pytest.approx(0.8)
