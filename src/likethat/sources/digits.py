"""Scikit-learn's handwritten digits: 1,797 real pictures that need no download."""

from typing import Literal

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from likethat._calls import public
from likethat._checks import check_choice, check_count
from likethat._session import in_own_session
from likethat.sources.arrays import Images


@public
@in_own_session
def digits(*, split: Literal["all", "train", "test"] = "all", size: int = 32) -> Images:
    """Return scikit-learn's handwritten digits as grey images.

    Args:
        split: all 1,797; or a fixed, stratified three quarters to train and one quarter to test.
        size: pixels along a side; the 8 by 8 originals are scaled up bilinearly.

    Source:
        Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI.

    Example:
        >>> source = digits(split="test")
        >>> len(source), tuple(source[0].image.shape), source.class_names[:3]
        (450, (1, 32, 32), ('0', '1', '2'))
    """
    check_choice(split, name="split", choices=("all", "train", "test"))
    check_count(size, name="size", minimum=8)
    data = load_digits()
    labels = data.target
    chosen = list(range(len(labels)))
    if split != "all":
        train, test = train_test_split(chosen, test_size=0.25, stratify=labels, random_state=0)
        chosen = sorted(train if split == "train" else test)
    images = torch.from_numpy(data.images[chosen]).float()[:, None] / 16.0
    scaled = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return Images(
        scaled.clamp(0, 1),
        labels=labels[chosen],
        names=[f"digit {index}" for index in chosen],
        class_names=[str(digit) for digit in range(10)],
    )
