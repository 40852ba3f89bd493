"""Taking noise off in one step, and denoisers that do not return what they should."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from likethat.errors import InputError, ModelError, NonFiniteError
from likethat.functional.tweedie import denoised, predicted_noise, tweedie_particles

NOISY = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))


class Given:
    """A denoiser that answers as told, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        self.answer = answer

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the answer."""
        self.asked, self.sigma, self.had_gradients = x, sigma, torch.is_grad_enabled()
        return self.answer(x)  # type: ignore[return-value]


def fails(error: Exception) -> Callable[[Tensor], object]:
    """Return an answer that raises."""

    def answer(x: Tensor) -> object:
        raise error

    return answer


def test_an_image_each_at_one_noise_level_in_range_and_without_gradients() -> None:
    denoiser = Given(lambda x: 3 * x - 1)
    found = denoised(denoiser, NOISY.clone().requires_grad_(True), 0.25)
    assert denoiser.sigma.tolist() == [0.25] * 3
    assert not denoiser.had_gradients
    assert not found.requires_grad
    torch.testing.assert_close(found, (3 * NOISY - 1).clamp(0, 1))


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (lambda x: x[:1], ModelError, r"= \(3, 2, 4, 5\), got \(1, 2, 4, 5\)"),
        (lambda x: x.numpy(), ModelError, r"= \(3, 2, 4, 5\), got ndarray"),
        (lambda x: torch.where(x > 0.5, torch.inf, x), NonFiniteError, "at sigma = 0.25"),
        (fails(ValueError("no such level\nmore")), ModelError, r"raised ValueError at sigma = 0.25 \(no such level\)"),
        (fails(ValueError("")), ModelError, r"raised ValueError at sigma = 0.25 \(\)"),
        (fails(InputError("as it was")), InputError, "^as it was$"),
    ],
    ids=["too few", "no tensor", "infinite", "raises", "raises without a word", "raises one of ours"],
)
def test_what_is_no_image_is_named(answer: Callable[[Tensor], object], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        denoised(Given(answer), NOISY, 0.25)


def test_predicted_noise_by_hand() -> None:
    assert predicted_noise(torch.tensor([3.0]), torch.tensor([1.0]), 4.0).item() == 0.5


def test_particles_are_the_image_and_the_noise_of_the_seed() -> None:
    denoiser = Given(lambda x: x)
    image = torch.full((2, 3, 3), 0.5)
    rng = torch.Generator().manual_seed(5)
    particles = tweedie_particles(denoiser, image, 0.1, n=4, rng=rng)
    noise = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(denoiser.asked, 0.5 + 0.1 * noise)
    torch.testing.assert_close(particles, denoiser.asked.clamp(0, 1))
