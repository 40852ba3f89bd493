"""Any function from latents to inputs, a GAN above all, as a generator."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import Inputs, Kind, kind_of
from likethat._options import check_number, check_text, shown
from likethat._session import in_own_session
from likethat.errors import InputError, LikethatError
from likethat.generators.priors import StandardNormal
from likethat.search.base import Prior


@public
@in_own_session
class CallableGenerator:
    """Wraps a function of latents; tries it once, on one latent.

    Args:
        function: (n, latent) float32 to images (n, channel, height, width), a DataFrame of n rows, or n texts.
        latent_dim: length of a latent.
        prior: where typical latents lie; None for N(0, I).
        value_range: what the function's darkest and brightest pixel are, such as (-1, 1) for a tanh; images are
            brought to [0, 1] from it.
        name: what to call it.

    Raises:
        InputError: the function raises, or returns something else, another number of rows, NaN, or values outside
            `value_range`.
    """

    def __init__(
        self,
        function: Callable[[Tensor], Any],
        *,
        latent_dim: int,
        prior: Prior | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        name: str = "",
    ) -> None:
        if not callable(function):
            raise InputError(f"`function` must be callable, (n, latent) to inputs, got {type(function).__name__}.")
        self.prior = StandardNormal(check_count(latent_dim, name="latent_dim")) if prior is None else prior
        if not all(hasattr(self.prior, each) for each in ("dim", "sample", "log_prob")) or isinstance(prior, type):
            raise InputError(f"`prior` must have dim, sample and log_prob, got {shown(prior)}. None is N(0, I).")
        if self.prior.dim != latent_dim:
            raise InputError(f"`prior` must have latent_dim = {latent_dim} dimensions, got {self.prior.dim}.")
        is_pair = isinstance(value_range, list | tuple) and len(value_range) == 2
        low, high = (check_number(end, name="value_range", low=-1e30) for end in value_range) if is_pair else (0, 0)
        if not low < high:
            raise InputError(f"`value_range` must be (darkest, brightest), got {shown(value_range)}.")
        self.name = check_text(name, name="name") or getattr(function, "__name__", type(function).__name__)
        self._function = function
        self._low, self._high = float(low), float(high)
        tried, self.differentiable = self._try()
        self.kind: Kind = kind_of(tried)

    def _try(self) -> tuple[Inputs, bool]:
        rng = torch.Generator().manual_seed(0)
        latents = self.prior.sample(2, rng=rng)
        try:
            tried = self(latents.clone().requires_grad_())
        except InputError:  # NumPy takes no tensor with a gradient
            return self(latents), False
        return tried, isinstance(tried, Tensor) and tried.requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one image."""
        made = self(self.prior.sample(1, rng=torch.Generator().manual_seed(0)))
        return tuple(made.shape[1:]) if isinstance(made, Tensor) else ()

    def __call__(self, latents: Float[Tensor, "n latent"]) -> Inputs:
        """Return what the function makes of each latent, images in [0, 1].

        Raises:
            InputError: see the class.
        """
        made = self._called(latents)
        if len(made) != len(latents):
            raise InputError(
                f"the generator {self.name} must make one input a latent, got {len(made)} for {len(latents)} latents."
            )
        return self._checked(made) if isinstance(made, Tensor) else made

    def _called(self, latents: Tensor) -> Inputs:
        function = self._function
        was_training = isinstance(function, nn.Module) and function.training
        try:
            if isinstance(function, nn.Module):
                function.eval()
            made = function(latents)
        except LikethatError:
            raise
        except Exception as error:
            raise InputError(
                f"the generator {self.name} failed on latents of shape {tuple(latents.shape)}: "
                f"{type(error).__name__}: {error}. Check latent_dim."
            ) from error
        finally:
            if isinstance(function, nn.Module):
                function.train(was_training)
        if isinstance(made, tuple):
            made = list(made)
        kind_of(made)
        return made  # what it may be was just checked

    def _checked(self, images: Tensor) -> Tensor:
        """Return images in [0, 1], or say what is wrong with them."""
        if images.ndim < 2 or not images.is_floating_point():
            raise InputError(
                f"the generator {self.name} must return floating-point images (n, channel, height, width), got "
                f"{images.dtype} of shape {tuple(images.shape)}."
            )
        low, high = (float(bound) for bound in images.detach().aminmax())
        slack = 1e-3 * (self._high - self._low)
        if not (low >= self._low - slack and high <= self._high + slack):  # NaN fails too
            seen = "NaN" if low != low or high != high else f"values from {low:.3g} to {high:.3g}"  # noqa: PLR0124
            raise InputError(
                f"the generator {self.name} must return values in [{self._low:g}, {self._high:g}], got {seen}. "
                "Say what its darkest and brightest pixel are: value_range=(-1, 1) for a tanh."
            )
        scaled = (images - self._low) / (self._high - self._low)
        return scaled.clamp(0, 1)
