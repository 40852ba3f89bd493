"""Hidden pixels filled from those that are seen around them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

_LEAST = 1e-6  # of a weight that something is divided by: where nothing is seen, the coarser picture decides alone


def inpainted(
    image: Float[Tensor, "channel height width"], hidden: Float[Tensor, "n 1 height width"]
) -> Float[Tensor, "n channel height width"]:
    """Fill what each mask hides with a smooth continuation of what it leaves.

    Pictures of half the side, quarter, ... are averages of seen pixels; from the coarsest to the finest, what is not
    seen takes the coarser one's value. Where a mask hides everything, the picture's mean colour is all that is left.

    Args:
        image: in [0, 1].
        hidden: one picture's mask a row: 1 is hidden, 0 is seen, and between the two both count in part.

    Source:
        Gortler, Grzeszczuk, Szeliski, Cohen (1996), The Lumigraph: pull-push.

    Example:
        >>> edge = torch.arange(4.0).expand(1, 4, 4) / 4
        >>> middle = torch.zeros(1, 1, 4, 4)
        >>> middle[..., 1:3] = 1
        >>> bool((inpainted(edge, middle)[0, 0, :, 1].diff() == 0).all())
        True
    """
    seen = 1 - hidden
    mean = image.mean(dim=(1, 2), keepdim=True).expand(len(hidden), -1, 1, 1)
    return _filled(image.expand(len(hidden), *image.shape), seen, mean)


def _filled(
    images: Float[Tensor, "n channel height width"],
    seen: Float[Tensor, "n 1 height width"],
    otherwise: Float[Tensor, "n channel 1 1"],
) -> Float[Tensor, "n channel height width"]:
    """Return the images where they are seen, and what is around where they are not."""
    height, width = images.shape[2:]
    if height == width == 1:
        return torch.lerp(otherwise, images, seen)
    window = (min(2, height), min(2, width))
    weight, total = (
        avg_pool2d(part, window, ceil_mode=True, count_include_pad=False)  # a side of odd length ends in one pixel
        for part in (seen, images * seen)
    )
    coarse = total / weight.clamp_min(_LEAST)
    around = _filled(coarse, (weight > _LEAST).to(weight), otherwise)
    pushed = interpolate(around, size=(height, width), mode="bilinear", align_corners=False)
    return torch.lerp(pushed, images, seen)
