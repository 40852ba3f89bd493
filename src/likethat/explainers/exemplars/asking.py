"""Latents to answers: the generator makes inputs, the black box answers, what came of it is kept."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_finite, check_images
from likethat._inputs import Inputs, digests, kind_of, take
from likethat.errors import InputError
from likethat.search import Known

__all__ = ["Asker", "Box", "make_inputs"]


class Box(Protocol):
    """What is asked: `likethat.BlackBox`, or anything that can as much."""

    def __call__(self, inputs: Inputs) -> Float[Tensor, "n cls"]:
        """Return a row of probabilities an input."""
        ...

    def affordable(self, inputs: Inputs) -> int:
        """Return how many leading rows can be asked now."""
        ...

    @property
    def queries(self) -> int:
        """Rows answered."""
        ...

    @property
    def remaining(self) -> int | None:
        """Rows left to ask."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        ...


class Asker:
    """Asks for latents and remembers all answers, whichever target they were asked for.

    Args:
        generator: from latents to inputs.
        box: the model; its budget is never exceeded.
        tell: called with the number of answers after each batch; may raise to stop.

    Attributes:
        known: every latent asked, with its answer.
        digests: of the inputs, one a latent: two latents can make the same table row or text.
    """

    def __init__(self, generator: Any, box: Box, tell: Callable[[int], None] | None = None) -> None:
        self.generator, self.box, self.tell = generator, box, tell
        self.known = Known.nothing(generator.prior.dim)
        self.digests: list[bytes] = []

    def ask(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "m cls"]:
        """Return the answers to as many leading latents as can be paid for: m = n, fewer, or 0."""
        inputs = make_inputs(self.generator, latents)
        n = self.box.affordable(inputs)
        if n == 0:
            return torch.zeros(0, max(len(self.box.class_names), 1), dtype=torch.float32).double()
        inputs = take(inputs, range(n)) if n < len(latents) else inputs
        responses = self.box(inputs).double()
        known, marks = self.known.joined(latents[:n], responses), [*self.digests, *digests(inputs)]
        self.known, self.digests = known, marks
        if self.tell is not None:
            self.tell(len(self.known))
        return responses


@torch.no_grad()
def make_inputs(generator: Any, latents: Float[Tensor, "n dim"]) -> Inputs:
    """Return what a generator makes, checked.

    Raises:
        InputError: another number of inputs than latents, or images outside [0, 1].
        NonFiniteError: NaN or infinity in an image.
    """
    inputs: Inputs = generator(latents.float())
    kind = kind_of(inputs)
    if len(inputs) != len(latents):
        raise InputError(
            f"`generator` must make one {kind} a latent, got {len(inputs)} for {len(latents)} latents (n, latent)."
        )
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu()
        name = "generator(latents)"
        if inputs.ndim == 4:
            check_images(inputs, name=name)
            return inputs.clamp(0, 1)
        check_finite(inputs, name=name)
    return inputs
