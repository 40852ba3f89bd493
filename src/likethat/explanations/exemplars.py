"""What a search for exemplars found: inputs made to be typical of a response."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._calls import public
from likethat._inputs import Inputs, Kind, kind_of
from likethat._responses import Measured
from likethat._status import Status
from likethat.explanations.exemplar_storage import write_exemplars
from likethat.explanations.result import Result, input_columns
from likethat.explanations.word_attribution import WordAttribution

REAL_TEXTS = "RealTexts"
"""The method's name where exemplars are real texts that were found, not made."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Film:
    """The best input so far, each time there was a better one.

    Attributes:
        inputs: one a frame, in order.
        queries: (frame,) answers there were when it was found, from 1.
        errors: (frame,) how far its answer was from the one wanted.
    """

    inputs: Inputs
    queries: Int[Tensor, " frame"]
    errors: Float[Tensor, " frame"]

    def __len__(self) -> int:
        return len(self.queries)


@public
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class ExemplarSet(Result):
    """Exemplars of one target, best first, and how plausible they are.

    Attributes:
        target: class index, or -1 where the target is no single class.
        description: the target in words, e.g. ``"cat"`` or ``"50 % cat, 50 % dog"``.
        wanted: (cls,) the probability vector wanted; None where a response was to be high.
        inputs: the exemplars: images, table rows or texts.
        latents: (n, dim) what the generator made them from.
        probabilities: (n, cls) the model's answer to each.
        errors: (n,) how far each answer is from the one wanted: the largest difference over the classes; for a
            response, what is missing to the threshold.
        reached: (n,) whether each is within the tolerance.
        log_prior: (n,) log-density of each latent, in nats.
        prior_quantile: (n,) share of prior samples of lower density, in [0, 1]; below 0.05 is untypical.
        distance_to_real: (n,) distance to the nearest real sample, as a multiple of the median distance between a real
            sample and the nearest other; None without data.
        diversity: mean distance between the exemplars' latents, relative to that between prior samples; NaN for one.
        status: whether all were found.
        queries: answers the model gave while this target was pursued.
        shared_queries: answers it had given to other targets, or to all in common, before.
        curve: (answer,) the least error after each answer, shared ones first.
        film: the best input at each improvement.
        typical: an input drawn from the prior, for comparison; several.
        class_names: of the model.
        method: name of the strategy.
        options: of the strategy and the search.
        seed: the seed.
        seconds: wall time.
        measured: the number that was asked about, and where it shall lie; None where that was a class, a mixture or
            a bare function.
        values: (n,) of that number; None without one.
        attributions: of texts, which are real and were found: what speaks for each, where the budget allowed; else
            empty.
    """

    target: int
    description: str
    wanted: Float[Tensor, " cls"] | None
    inputs: Inputs
    latents: Float[Tensor, "n dim"]
    probabilities: Float[Tensor, "n cls"]
    errors: Float[Tensor, " n"]
    reached: Tensor
    log_prior: Float[Tensor, " n"]
    prior_quantile: Float[Tensor, " n"]
    distance_to_real: Float[Tensor, " n"] | None
    diversity: float
    status: Status
    queries: int
    shared_queries: int
    curve: Float[Tensor, " answer"]
    film: Film
    typical: Inputs
    class_names: tuple[str, ...]
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    attributions: tuple[WordAttribution, ...] = ()
    measured: Measured | None = None
    values: Float[Tensor, " n"] | None = None

    def __len__(self) -> int:
        return len(self.latents)

    def _line(self) -> str:
        return (
            f"ExemplarSet({self.description}: {int(self.reached.sum())} of {len(self)} reached, "
            f"{self.queries} queries, {self.status.reason})"
        )

    @property
    def kind(self) -> Kind:
        """What the exemplars are: "image", "table" or "text"."""
        return kind_of(self.inputs)

    @property
    def confidence(self) -> Float[Tensor, " n"]:
        """(n,) the target class's probability; of a boundary, that of the least probable class wanted; `values`."""
        if self.values is not None:
            return self.values
        if self.wanted is None:
            return self.probabilities.amax(1)
        return self.probabilities[:, torch.nonzero(self.wanted)[:, 0]].amin(1)

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_exemplars(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        return {**vars(self), "confidence": self.confidence, "input_kind": self.kind}

    def _columns(self) -> dict[str, Any]:
        names = ("confidence", "errors", "reached", "log_prior", "prior_quantile", "distance_to_real")
        values = {name: getattr(self, name) for name in names}
        columns = {name: value.tolist() for name, value in values.items() if value is not None}
        return columns | input_columns(self.inputs)
