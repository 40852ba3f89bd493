"""Where the adaptation starts, how it is set up, and that it starts anew."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from likethat.generators.priors import StandardNormal
from likethat.search import CMAES, HighResponse, Known, Problem
from likethat.search.whitening import Whitening

pytest.importorskip("cma")


def problem(dim: int = 3, known: Tensor | None = None, **options: object) -> Problem:
    return Problem(
        prior=StandardNormal(dim),
        goal=HighResponse(response=lambda responses: responses[:, 0]),
        rng=torch.Generator().manual_seed(0),
        known=Known.nothing(dim) if known is None else Known(latents=known, responses=known[:, :1]),
        **options,  # type: ignore[arg-type]
    )


def test_starts_at_the_best_that_is_no_find_or_in_the_middle() -> None:
    known = torch.tensor([[0.0, 2.0, 0.0], [3.0, -1.0, 1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    near = CMAES(sigma=1e-6)
    middle = Whitening.of(StandardNormal(3), torch.Generator().manual_seed(0)).mean
    for task, start in (
        (problem(known=known), known[1]),
        (problem(known=known, avoid=known[1:2], radius=1.0), known[2]),
        (problem(known=known, avoid=known, radius=1.0), middle),
        (problem(), middle),
    ):
        asked = near.begin(task).ask()
        torch.testing.assert_close(asked, start.expand_as(asked), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("covariance", "dim", "diagonal"),
    [
        ("auto", 3, False),
        ("auto", 64, False),
        ("auto", 65, True),
        ("diagonal", 3, True),
        ("full", 65, False),
    ],
)
def test_a_full_covariance_up_to_64_dimensions(covariance: str, dim: int, diagonal: bool) -> None:
    search = CMAES(covariance=covariance).begin(problem(dim))  # type: ignore[arg-type]
    assert bool(search._made.opts["CMA_diagonal"]) is diagonal  # type: ignore[attr-defined]


def test_a_generation_and_its_first_step() -> None:
    assert len(CMAES().begin(problem(3)).ask()) == 7  # 4 + 3 log 3
    assert len(CMAES(population=11).begin(problem(3)).ask()) == 11
    assert CMAES().n_screen == 6
    search = CMAES(population=3000).begin(problem(3))
    whitening = Whitening.of(StandardNormal(3), torch.Generator().manual_seed(0))
    assert whitening.to(search.ask()).std(0).tolist() == pytest.approx([0.7] * 3, rel=0.05)


def test_higher_fitness_is_better() -> None:
    search = CMAES(sigma=0.3).begin(problem(3))
    for _ in range(40):
        latents = search.ask()
        search.tell(-(latents - 2).square().sum(1))
    assert float((latents - 2).abs().max()) < 0.3


def test_begins_anew_elsewhere_once_it_has_converged_and_writes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    search = CMAES(sigma=1e-13).begin(problem(3))  # smaller than what it stops at
    middles = []
    for _ in range(4):
        latents = search.ask()
        middles.append(latents.mean(0).numpy())
        search.tell(-latents.square().sum(1))
    apart = [np.linalg.norm(one - other) for one, other in itertools.pairwise(middles)]
    assert max(apart) > 0.1
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""
