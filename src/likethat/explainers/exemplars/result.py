"""From what a search found to the set that is handed out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs
from likethat._status import Status
from likethat.explainers.exemplars.asking import make_inputs
from likethat.explainers.exemplars.loop import Finds
from likethat.explainers.exemplars.plausibility import distance_to_real
from likethat.explanations.exemplars import ExemplarSet, Film
from likethat.functional.diversity import mean_distance, quantile_among
from likethat.search import Prior

_SAMPLES = 1000  # of the prior, whose quantiles an exemplar is placed in: to .1 %
_TYPICAL = 12  # samples shown beside the exemplars: two rows on a page
_MOST_FRAMES = 24  # of the film: under 20 seconds of it; the first and the last ones stay


@dataclass(frozen=True, kw_only=True, eq=False)
class Spacing:
    """How samples of a prior lie.

    Attributes:
        mean: distance between two of them.
        log_prior: (m,) their log-densities.
        samples: (m, dim) themselves.
    """

    mean: float
    log_prior: Float[Tensor, " m"]
    samples: Float[Tensor, "m dim"]

    @classmethod
    def of(cls, prior: Prior, *, seed: int) -> "Spacing":
        """Measure a prior."""
        samples = prior.sample(_SAMPLES, rng=torch.Generator().manual_seed(seed))
        return cls(mean=mean_distance(samples[:300]), log_prior=prior.log_prob(samples).double(), samples=samples)


def exemplar_set(
    finds: Finds,
    *,
    status: Status,
    queries: int,
    shared: int,
    spacing: Spacing,
    data: "Inputs | None",
    about: Mapping[str, Any],
) -> ExemplarSet:
    """Return the set of what was found, with how plausible each is."""
    asker, aim, rows = finds.asker, finds.aim, finds.best()
    latents, responses = asker.known.latents[rows], asker.known.responses[rows]
    inputs = make_inputs(asker.generator, latents)
    log_prior = asker.generator.prior.log_prob(latents.float()).double()
    return ExemplarSet(
        target=aim.index,
        description=aim.description,
        wanted=aim.wanted,
        inputs=inputs,
        latents=latents,
        probabilities=responses,
        errors=aim.errors(responses),
        reached=aim.goal.shortfall(responses) <= 0,
        log_prior=log_prior,
        prior_quantile=quantile_among(log_prior, spacing.log_prior),
        distance_to_real=None if data is None else distance_to_real(inputs, data),
        diversity=mean_distance(latents) / spacing.mean,
        status=status,
        queries=queries,
        shared_queries=shared,
        curve=aim.errors(asker.known.responses).cummin(0).values,
        film=_film(finds),
        typical=make_inputs(asker.generator, spacing.samples[:_TYPICAL]),
        class_names=tuple(asker.box.class_names),
        **aim.measured(responses),
        **about,
    )


def _film(finds: Finds) -> Film:
    """Return the answers that were better than all before; of many, the last ones and the first."""
    known = finds.asker.known
    errors = finds.aim.errors(known.responses)
    best = errors.cummin(0).values
    rows = [0] + [row for row in range(1, len(errors)) if best[row] < best[row - 1]]
    if len(rows) > _MOST_FRAMES:
        rows = rows[:1] + rows[1 - _MOST_FRAMES :]
    return Film(
        inputs=make_inputs(finds.asker.generator, known.latents[rows]),
        queries=torch.tensor(rows) + 1,
        errors=errors[rows],
    )
