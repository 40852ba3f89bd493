"""A set of exemplars holds what was found, and how it lies in the prior."""

import pytest
import torch
from lines import finds_of

from likethat.explainers.exemplars.result import Spacing, exemplar_set
from likethat.explanations.exemplars import ExemplarSet
from likethat.explanations.status import Reason, Status
from likethat.functional.diversity import mean_distance
from likethat.generators.priors import StandardNormal


def set_of(values: list[float], *, n: int = 2) -> ExemplarSet:
    finds = finds_of(values, n=n, radius=0.0)
    finds.look()
    spacing = Spacing.of(finds.asker.generator.prior, seed=4)
    return exemplar_set(
        finds, status=Status(reached=True, reason=Reason.REACHED), queries=3, shared=1, spacing=spacing, data=None,
        about={"method": "test", "options": {}, "seed": 0, "seconds": 0.0},
    )  # fmt: skip


def test_a_set_holds_the_found_and_then_the_nearest_misses() -> None:
    found = set_of([0.1, 0.9, 0.3, 0.6], n=3)
    assert found.latents.flatten().tolist() == [1, 3, 2]
    assert found.reached.tolist() == [True, True, False]
    assert found.errors.tolist() == pytest.approx([-0.4, -0.1, 0.2])
    assert found.curve.tolist() == pytest.approx([0.4, -0.4, -0.4, -0.4])
    assert found.film.queries.tolist() == [1, 2]
    assert found.film.errors.tolist() == pytest.approx([0.4, -0.4])
    samples = StandardNormal(1).sample(1000, rng=torch.Generator().manual_seed(4))
    assert found.diversity == pytest.approx(mean_distance(found.latents) / mean_distance(samples[:300]))
    density = StandardNormal(1).log_prob(samples).double()
    assert found.prior_quantile.tolist() == pytest.approx(
        [float((density < value).double().mean()) for value in found.log_prior]
    )
    assert torch.equal(found.log_prior, StandardNormal(1).log_prob(found.latents.float()).double())
    assert torch.equal(found.typical, samples[:12].sigmoid().reshape(-1, 1, 1, 1))  # type: ignore[arg-type]


def test_a_long_film_keeps_its_first_frame_and_the_last_ones() -> None:
    rising = [value / 100 for value in range(40)]
    assert set_of(rising).film.queries.tolist() == [1, *range(18, 41)]
    assert set_of(rising[:24]).film.queries.tolist() == list(range(1, 25))
    assert set_of([0.3, 0.3, 0.2, 0.4]).film.queries.tolist() == [1, 4]  # as good as before is no news
