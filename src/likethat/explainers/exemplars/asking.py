"""Latents to answers: the generator makes inputs, the black box answers, what came of it is kept."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_finite, check_images
from likethat._inputs import Inputs, digests, kind_of
from likethat._queries import Asked, QueryLog
from likethat.errors import InputError
from likethat.search import Known


class Asker(QueryLog):
    """Asks for latents and remembers all answers, whichever target they were asked for.

    Args:
        generator: from latents to inputs.
        box: the model; its budget is never exceeded.

    Attributes:
        known: every latent asked, with its answer.
        digests: of the inputs, one a latent: two latents can make the same table row or text.
        different: the digests, each once.
    """

    def __init__(self, generator: Any, box: Asked) -> None:
        super().__init__(box=box)
        self.generator = generator
        self.known = Known.nothing(generator.prior.dim)
        self.digests: list[bytes] = []
        self.different: set[bytes] = set()

    def ask(self, latents: Float[Tensor, "n dim"]) -> Float[Tensor, "m cls"]:
        """Return the answers to as many leading latents as can be paid for: m = n, fewer, or 0."""
        found = self.query(make_inputs(self.generator, latents))
        responses = found.probabilities.double()
        if len(found):
            known, marks = self.known.joined(latents[: len(found)], responses), [*self.digests, *digests(found.inputs)]
            self.known, self.digests, self.different = known, marks, self.different | set(marks[-len(found) :])
            self.tell()
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
