"""What is asked by a process: samples first, then where the goal is likely, then near it."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import likethat.search.surrogate as module
from likethat.errors import InputError
from likethat.functional.fitness import to_log_scale
from likethat.generators.priors import StandardNormal
from likethat.search import Known, Probabilities, Problem, Surrogate
from likethat.search.gaussian_process import GaussianProcess, Posterior, fit_gaussian_process


class Flat:
    """Normal samples of which none is less typical than another: every candidate is kept."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        """Draw."""
        return torch.randn(n, self.dim, generator=rng)

    def log_prob(self, latents: Tensor) -> Tensor:
        """Return the same for all."""
        return torch.zeros(len(latents))


def answers(latents: Tensor) -> Tensor:
    """Return the probabilities of two classes whose boundary lies at .25 of the first latent."""
    p = torch.sigmoid(3 * (latents[:, :1].double() - 0.25))
    return torch.cat([1 - p, p], 1)


def problem(known: Tensor, wanted: tuple[float, ...] = (0.5, 0.5), dim: int = 1, **options: object) -> Problem:
    has = Known(latents=known, responses=answers(known)) if len(known) else Known.nothing(dim)
    return Problem(
        prior=Flat(dim),
        goal=Probabilities(wanted=torch.tensor(wanted, dtype=torch.float64), tolerance=0.03),
        rng=torch.Generator().manual_seed(0),
        known=has,
        **options,  # type: ignore[arg-type]
    )


NOTHING = torch.zeros(0, 1, dtype=torch.float64)
GRID = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]


def test_samples_of_the_prior_until_enough_are_known() -> None:
    search, rng = (
        Surrogate(batch=2, n_screen=5, candidates=20).begin(problem(NOTHING)),
        torch.Generator().manual_seed(0),
    )
    Flat(1).sample(2000, rng=rng)  # what the prior was measured on
    for n in (2, 2, 1):
        asked = search.ask()
        assert torch.equal(asked, Flat(1).sample(n, rng=rng).double())
        search.tell(torch.zeros(n), answers(asked))
    assert len(search.ask()) == 2
    assert Surrogate().n_screen == 6


@pytest.mark.parametrize("n", [0, 1])
def test_one_answer_makes_no_process(n: int) -> None:
    search, rng = Surrogate(n_screen=1).begin(problem(GRID[:n])), torch.Generator().manual_seed(0)
    Flat(1).sample(2000, rng=rng)
    assert torch.equal(search.ask(), Flat(1).sample(1, rng=rng).double())


def test_two_answers_make_a_process() -> None:
    search, rng = Surrogate(n_screen=1).begin(problem(GRID[[0, 8]])), torch.Generator().manual_seed(0)
    Flat(1).sample(2000, rng=rng)
    assert not torch.equal(search.ask(), Flat(1).sample(1, rng=rng).double())


@pytest.mark.parametrize(("wanted", "at"), [((0.5, 0.5), 0.25), ((0.25, 0.75), 0.25 + 1.0986 / 3)])
def test_asks_where_the_answers_known_point_to(wanted: tuple[float, float], at: float) -> None:
    asked = Surrogate(batch=3).begin(problem(GRID, wanted)).ask()
    assert asked.shape == (3, 1)
    assert float((asked - at).abs().max()) < 0.05


def test_a_find_is_not_asked_for_again_unless_nothing_else_is_left() -> None:
    asked = Surrogate(batch=3).begin(problem(GRID, avoid=torch.tensor([[0.25]]).double(), radius=0.4)).ask()
    assert float((asked - 0.25).abs().min()) >= 0.4
    everywhere = Surrogate(batch=3).begin(problem(GRID, avoid=torch.tensor([[0.25]]).double(), radius=1e9)).ask()
    assert float((everywhere - 0.25).abs().max()) < 0.05


@pytest.mark.parametrize(
    ("wanted", "between"),
    [((1.0, 0.0), 0), ((0.5, 0.5), 1), ((0.4, 0.3, 0.3), 3), ((0.2, 0.2, 0.2, 0.2, 0.2), 6)],
    ids=["one class", "two", "three", "the first four of five"],
)
def test_how_many_candidates_there_are(wanted: tuple[float, ...], between: int) -> None:
    rows = torch.randn(30, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    task = problem(rows, wanted, dim=2)
    responses = torch.softmax(torch.randn(30, len(wanted), generator=torch.Generator().manual_seed(2)).double(), 1)
    task = Problem(prior=task.prior, goal=task.goal, rng=task.rng, known=Known(latents=rows, responses=responses))
    search = Surrogate(candidates=40).begin(task)
    made = search._first_candidates()  # type: ignore[attr-defined]
    assert len(made) == 40 + 3 * 20 + between * 20
    white = search._make.whitening.to(rows)  # type: ignore[attr-defined]
    nearest = white[task.goal.shortfall(responses).argsort()[:3]]
    steps = made[40:100].reshape(3, 20, 2) - nearest[:, None]
    pool = search._make.pool  # type: ignore[attr-defined]
    around = [pool[(pool - point).norm(dim=1).argsort()[:50]].var(0, correction=0).sum() for point in nearest]
    spread = (steps - steps.mean(1, keepdim=True)).square().sum(2).mean(1)
    assert float(spread.mean()) == pytest.approx(0.3**2 * float(torch.stack(around).mean()), rel=0.5)
    for place, (first, second) in enumerate(itertools.combinations(range(min(between, 4)), 2)):
        ends = [white[responses[:, pole].argsort(descending=True)[:4]].norm(dim=1) for pole in (first, second)]
        group = made[100 + 20 * place : 120 + 20 * place].norm(dim=1)
        least, most = float(torch.cat(ends).min()), float(torch.cat(ends).max())
        assert least - 1e-9 <= float(group.min()) <= float(group.max()) <= most + 1e-9


class Sure:
    """A process that knows the answers of two candidates: one draw of it is like another."""

    def posterior(self, points: Tensor) -> Posterior:
        """Return log-probabilities .5 and .5, then .2 and .8."""
        mean = to_log_scale(torch.tensor([[0.5, 0.5], [0.2, 0.8]], dtype=torch.float64))
        return Posterior(mean=mean, variance=torch.zeros(2, 2, dtype=torch.float64))


def test_the_score_is_the_share_that_reaches_less_a_little_of_what_the_best_misses() -> None:
    score = Surrogate().begin(problem(GRID))._score(Sure(), GRID[:2])  # type: ignore[attr-defined]
    assert score.tolist() == pytest.approx([1 + 0.05 * 0.03, -0.05 * (0.3 - 0.03)])


def test_length_and_noise_are_chosen_anew_with_a_tenth_more_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    fits: list[tuple[int, bool]] = []

    def fit(points: Tensor, outputs: Tensor, **choices: tuple[float, ...]) -> GaussianProcess:
        fits.append((len(points), not choices))
        made = fit_gaussian_process(points, outputs, **choices)  # type: ignore[arg-type]
        if choices:
            assert (made.length, made.noise) == last[0]
        last[:] = [(made.length, made.noise)]
        return made

    last: list[tuple[float, float]] = []
    monkeypatch.setattr(module, "fit_gaussian_process", fit)
    search = Surrogate(candidates=20).begin(problem(torch.linspace(-2, 2, 25).double()[:, None]))
    for _ in range(6):
        asked = search.ask()
        search.tell(torch.zeros(1), answers(asked))
    assert fits == [(25, True), (26, False), (27, False), (28, True), (29, False), (30, False)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Surrogate(n_screen=0), "`n_screen` must be"),
        (lambda: Surrogate(samples=0), "`samples` must be"),
        (lambda: Surrogate(candidates=9), "`candidates` must be"),
        (lambda: Surrogate(typical=-0.1), "`typical` must be from 0 to 0.9"),
        (lambda: Surrogate(typical=0.91), "`typical` must be from 0 to 0.9"),
    ],
)
def test_options_out_of_range(make: Callable[[], Surrogate], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
    assert Surrogate(n_screen=1, samples=1, candidates=10, typical=0.9).typical == 0.9
    assert Surrogate(typical=0.0, batch=1).batch == 1


def test_what_is_too_untypical_is_never_asked() -> None:
    """The goal lies where hardly a sample does: asked is what comes nearest to it among the three typical quarters."""
    prior, known = StandardNormal(1), torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    goal = Probabilities(wanted=torch.tensor([0.0, 1.0], dtype=torch.float64), tolerance=0.0)
    task = Problem(
        prior=prior,
        goal=goal,
        rng=torch.Generator().manual_seed(0),
        known=Known(latents=known, responses=answers(known)),
    )
    asked = float(Surrogate().begin(task).ask())
    assert 0.9 < asked < 1.25  # three quarters of N(0, 1) lie within 1.15


def test_the_least_miss_of_all_samples_counts_where_none_reaches() -> None:
    # One candidate misses by little in one of its samples, the other by something between in all.
    search = Surrogate(samples=2).begin(problem(GRID, (0.0, 1.0)))

    class Told:
        def posterior(self, points: Tensor) -> "Told":
            return self

        def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
            second = torch.tensor([[0.9, 0.5], [0.1, 0.5]], dtype=torch.float64)
            return to_log_scale(torch.stack([1 - second, second], dim=-1))

    one, other = search._score(Told(), torch.zeros(2, 1)).tolist()  # type: ignore[attr-defined]
    assert one > other


def test_the_forty_best_are_moved_six_times_each_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    search, moved = Surrogate(candidates=100).begin(problem(GRID)), []
    near = module.Candidates.near

    def watched(self: object, points: Tensor, *, step: float, each: int) -> Tensor:
        moved.append((len(points), step, each))
        return near(self, points, step=step, each=each)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Candidates, "near", watched)
    search.ask()
    assert moved == [(3, 0.3, 20), (40, 0.6, 6), (40, 0.35, 6), (40, 0.2, 6)]


def test_ways_lead_between_the_surest_of_both_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    search, ends = Surrogate(candidates=20).begin(problem(GRID)), []
    between = module.Candidates.between

    def watched(self: object, first: Tensor, second: Tensor, n: int) -> Tensor:
        ends.append((first, second))
        return between(self, first, second, n)  # type: ignore[arg-type]

    monkeypatch.setattr(module.Candidates, "between", watched)
    search.ask()
    ((first, second),) = ends
    back = search._make.whitening.back  # type: ignore[attr-defined]
    assert sorted(back(first).flatten().tolist()) == pytest.approx([-2.0, -1.5, -1.0, -0.5])  # of the left class
    assert sorted(back(second).flatten().tolist()) == pytest.approx([0.5, 1.0, 1.5, 2.0])
