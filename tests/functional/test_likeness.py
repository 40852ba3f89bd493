"""Copies of one picture, and two pictures of one outline."""

import torch
from torch import Tensor

from likethat.functional.likeness import coarse, likeness


def pictures(n: int = 12) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    rough = torch.rand(n, 1, 8, 8, generator=rng)
    return torch.nn.functional.interpolate(rough, size=(16, 16), mode="bilinear")[:, 0]


def test_a_picture_is_like_itself_lighter_weaker_or_moved_by_a_cell() -> None:
    given = pictures()
    torch.testing.assert_close(likeness(given, given), torch.ones(12))
    assert float(likeness(given, 0.3 + 0.5 * given).min()) > 0.97
    for shift, sides in ((1, 1), (-1, 2)):
        assert float(likeness(given, given.roll(shift, sides)).min()) > 0.8
    assert float(likeness(given, given.roll(4, 0)).max()) < 0.8  # other pictures


def test_two_dark_shapes_on_two_skies_are_not_alike() -> None:
    rng = torch.Generator().manual_seed(1)
    sky = torch.linspace(0.4, 0.9, 16)[:, None].expand(16, 16)
    first, second = (sky + 0.02 * torch.randn(16, 16, generator=rng) for _ in range(2))
    first[7:9, 4:12], second[7:9, 4:12] = 0.1, 0.15
    plain = torch.nn.functional.cosine_similarity(
        (first - first.mean()).flatten(), (second - second.mean()).flatten(), dim=0
    )
    assert float(plain) > 0.95
    assert float(likeness(first[None], second[None])) < 0.85


def test_detail_below_a_compressions_noise_does_not_count() -> None:
    rng = torch.Generator().manual_seed(2)
    noise = torch.randn(2, 1, 16, 16, generator=rng) / 255
    given = pictures(1)
    flat = given.clone()
    flat[:, :, 8:] = flat[:, :, 8:9]  # half of it is one colour a row, and noise
    assert float(likeness(flat + noise[0], flat + noise[1])) > 0.9


def test_coarse_pictures_by_hand() -> None:
    ramp = torch.arange(4.0).expand(4, 4)[None]  # pairs of columns: means .5 and 2.5, less 1.5: -1 and 1, length 2
    torch.testing.assert_close(coarse(ramp), torch.tensor([[-0.5, 0.5, -0.5, 0.5]]))
    assert coarse(torch.ones(1, 4, 4)).tolist() == [[0.0] * 4]
