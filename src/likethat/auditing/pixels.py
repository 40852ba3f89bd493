"""What pictures are like whatever they show: light, contrast, detail and colour."""

import torch
from jaxtyping import Float
from torch import Tensor

from likethat.features import Features
from likethat.features.rows import FACTS, SKETCH

STATISTICS = ("light", "contrast", "coarse detail", "fine detail", "colour")
"""In the order of `pixel_statistics`."""
_LEAST = 1e-4  # of a variance: one colour, in 8 bits


def pixel_statistics(features: Features) -> Float[Tensor, "image 5"]:
    """Return of each picture its mean, contrast, detail and colour; detail in logarithms, as it spans decades.

    Coarse detail is what 16 cells a side show and 8 do not, fine detail what 16 do not.
    """
    assert features.facts is not None  # only rows made up for a test have none
    sketches = sketches_of(features)
    half = torch.nn.functional.avg_pool2d(sketches[:, None], 2)
    coarse = sketches - torch.nn.functional.interpolate(half, scale_factor=2)[:, 0]
    fine, colour = (features.facts[:, 3 + FACTS.index(name)] for name in ("detail", "colour"))
    energies = [(square + _LEAST).log() for square in (coarse.square().mean((1, 2)), fine.square())]
    columns = [sketches.mean((1, 2)), sketches.flatten(1).std(1), *energies, colour]
    return torch.stack(columns, dim=1).double()


def sketches_of(features: Features) -> Float[Tensor, "image side side"]:
    """Return each picture small and grey, in [0, 1]."""
    assert features.sketches is not None  # the pass was asked for them
    return features.sketches.float().reshape(-1, SKETCH, SKETCH) / 255
