"""What hidden pixels are filled with, by hand."""

import pytest
import torch

from likethat.functional.inpainting import inpainted


def picture(height: int = 24, width: int = 17) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def test_what_is_seen_stays_to_the_bit_and_what_is_hidden_has_no_say() -> None:
    image, hidden = picture(), torch.zeros(2, 1, 24, 17)
    hidden[0, :, 5:15, 3:9] = hidden[1, :, :, 8:] = 1
    made = inpainted(image, hidden)
    other = torch.where(hidden[:1, 0] == 1, torch.rand(3, 24, 17), image)
    for row in range(2):
        seen = hidden[row, 0] == 0
        assert torch.equal(made[row][:, seen], image[:, seen])
    assert torch.allclose(inpainted(other, hidden[:1])[0], made[0])  # where it is seen, the two are one
    assert not torch.allclose(made[0], image)


def test_a_ramp_goes_on_through_what_is_hidden() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 32, 32).contiguous()
    hidden = torch.zeros(1, 1, 32, 32)
    hidden[..., 12:20] = 1
    made = inpainted(ramp, hidden)[0, 0]
    assert float((made - ramp[0]).abs().max()) < 0.1  # the mean colour would be .2 off
    assert float(made[:, 12:20].diff(dim=1).min()) >= 0


def test_two_halves_of_one_colour_each_are_continued_by_their_own() -> None:
    image = torch.zeros(1, 32, 32)
    image[:, :, 16:] = 1
    hidden = torch.zeros(1, 1, 32, 32)
    hidden[..., 2:6, 2:6] = hidden[..., 20:24, 26:30] = 1
    made = inpainted(image, hidden)[0, 0]
    assert float(made[2:6, 2:6].max()) < 0.01
    assert float(made[20:24, 26:30].min()) > 0.99


def test_where_all_is_hidden_the_mean_colour_is_left() -> None:
    image = picture()
    made = inpainted(image, torch.ones(1, 1, 24, 17))
    assert torch.allclose(made[0], image.mean(dim=(1, 2))[:, None, None].expand_as(image), atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 2), (3, 3)])
def test_any_size(size: tuple[int, int]) -> None:
    image, hidden = torch.full((2, *size), 0.25), torch.rand(3, 1, *size)
    assert torch.allclose(inpainted(image, hidden), torch.tensor(0.25))


def test_half_hidden_pixels_count_half() -> None:
    image = torch.tensor([[[0.0, 1.0]]])
    made = inpainted(image, torch.tensor([[[[0.0, 0.5]]]]))
    around = 1 * 0.5 / 1.5  # of the two, by how far each is seen
    assert made[0, 0, 0].tolist() == pytest.approx([0.0, 0.5 + 0.5 * around])
