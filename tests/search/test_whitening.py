"""One scale for all latents, beside numpy."""

import numpy as np
import torch

from likethat.generators.priors import StandardNormal
from likethat.search.whitening import Whitening

SAMPLES = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 0.1, 0.0]) + 5


def test_mean_and_standard_deviation_in_every_dimension() -> None:
    found = Whitening.measured(SAMPLES)
    np.testing.assert_allclose(found.mean, SAMPLES.double().numpy().mean(0))
    np.testing.assert_allclose(found.scale[:2], SAMPLES.double().numpy().std(0, ddof=1)[:2])
    white = found.to(SAMPLES)
    torch.testing.assert_close(white.mean(0), torch.zeros(3).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(white[:, :2].std(0), torch.ones(2).double())
    torch.testing.assert_close(found.back(white), SAMPLES.double())


def test_a_dimension_that_never_varies_has_a_scale_all_the_same() -> None:
    assert 0 < float(Whitening.measured(SAMPLES).scale[2]) < 1e-6


def test_a_prior_is_measured_on_2000_samples() -> None:
    first, second = (torch.Generator().manual_seed(1) for _ in range(2))
    found, expected = Whitening.of(StandardNormal(3), first), StandardNormal(3).sample(2000, rng=second).double()
    torch.testing.assert_close(found.mean, expected.mean(0))
    torch.testing.assert_close(found.scale, expected.std(0))
