"""What a search can look for: a probability vector, or a high value of any response."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._calls import foreign
from likethat.errors import InputError, NonFiniteError
from likethat.functional.fitness import farthest_class, log_loss, squared_loss


@dataclass(frozen=True, kw_only=True, eq=False)
class Probabilities:
    """Answers that come near a probability vector: one-hot for a class, two halves for a boundary.

    Attributes:
        wanted: (cls,), float64, sums to 1.
        tolerance: the largest difference, over the classes, that counts as reached.
    """

    wanted: Float[Tensor, " cls"]
    tolerance: float

    @property
    def poles(self) -> tuple[int, ...]:
        """The classes that shall have some probability."""
        return tuple(int(index) for index in (self.wanted > 0).nonzero()[:, 0])

    def shortfall(self, responses: Float[Tensor, "*n cls"]) -> Float[Tensor, " *n"]:
        """Return the largest difference over the classes, less the tolerance."""
        return farthest_class(responses, self.wanted) - self.tolerance

    def fitness(self, responses: Float[Tensor, "*n cls"], *, loss: str) -> Float[Tensor, " *n"]:
        """Return the negative loss."""
        of = log_loss if loss == "log" else squared_loss
        return -of(responses, self.wanted)


@dataclass(frozen=True, kw_only=True, eq=False)
class HighResponse:
    """A value of `response` of at least `threshold`.

    Attributes:
        response: probabilities (n, cls) to (n,), higher is better.
        threshold: what counts as reached; infinite to look for the highest there is.
    """

    response: Callable[[Tensor], Tensor]
    threshold: float = float("inf")
    poles: tuple[int, ...] = ()

    def shortfall(self, responses: Float[Tensor, "*n cls"]) -> Float[Tensor, " *n"]:
        """Return how much is missing; without a threshold the negative response, plus 1e9 so that none is reached."""
        values = self._values(responses)
        return (1e9 if self.threshold == float("inf") else self.threshold) - values

    def fitness(self, responses: Float[Tensor, "*n cls"], *, loss: str) -> Float[Tensor, " *n"]:  # noqa: ARG002
        """Return the response.

        Raises:
            NonFiniteError: it is NaN or infinite for an answer of the model.
        """
        values = self._values(responses)
        if not bool(torch.isfinite(values).all()):
            raise NonFiniteError("`target` must return finite numbers, got NaN or infinity. Mind probabilities of 0.")
        return values

    def _values(self, responses: Tensor) -> Tensor:
        flat = responses.reshape(-1, responses.shape[-1])
        with foreign("the response", "It gets probabilities (n, class) and returns one number a row."):
            values = torch.as_tensor(self.response(flat)).double()
        if values.shape != (len(flat),):
            raise InputError(
                f"`target` must return one number a row, (n,) = ({len(flat)},), got shape {tuple(values.shape)}."
            )
        return values.reshape(responses.shape[:-1])
