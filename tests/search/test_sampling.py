"""The baseline is the prior's own samples."""

import torch

from likethat.generators.priors import StandardNormal
from likethat.search import HighResponse, Known, PriorSampling, Problem


def test_samples_of_the_prior_one_after_the_other() -> None:
    rng = torch.Generator().manual_seed(3)
    goal = HighResponse(response=lambda responses: responses[:, 0])
    task = Problem(prior=StandardNormal(2), goal=goal, rng=rng, known=Known.nothing(2))
    again = torch.Generator().manual_seed(3)
    for strategy, n in ((PriorSampling(batch=4), 4), (PriorSampling(), 1)):
        search = strategy.begin(task)
        for _ in range(2):
            assert torch.equal(search.ask(), StandardNormal(2).sample(n, rng=again).double())
            search.tell(torch.zeros(n))
    assert PriorSampling().n_screen == 0
