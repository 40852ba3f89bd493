"""Ask/tell strategies: guards, laws, the paper's twin, and numbers from other libraries."""

import numpy as np
import pytest
import torch
from reference.exemplars import SlowEvolution
from torch import Tensor

from likethat.errors import InputError
from likethat.functional.fitness import farthest_class, from_log_scale, log_loss, squared_loss, to_log_scale
from likethat.generators.priors import Mixture, StandardNormal
from likethat.search import (
    CMAES,
    Evolution,
    GradientAscent,
    HighResponse,
    Known,
    PriorSampling,
    Probabilities,
    Problem,
    Strategy,
    Surrogate,
)
from likethat.search.candidates import Candidates
from likethat.search.gaussian_process import fit_gaussian_process

DIM, N_CLASSES = 4, 3
WEIGHT = torch.randn(DIM, N_CLASSES, generator=torch.Generator().manual_seed(3)).double() * 2


def answers(latents: Tensor) -> Tensor:
    return torch.softmax(latents @ WEIGHT, 1)


def uphill(latents: Tensor, goal: object) -> Tensor:
    asked = latents.clone().requires_grad_(True)
    return torch.autograd.grad(goal.fitness(answers(asked), loss="log").sum(), asked)[0]  # type: ignore[attr-defined]


STRATEGIES: dict[str, Strategy] = {
    "sampling": PriorSampling(batch=3),
    "evolution": Evolution(),
    "cma": CMAES(),
    "diagonal cma": CMAES(covariance="diagonal", population=6),
    "surrogate": Surrogate(batch=2, candidates=60),
    "gradient": GradientAscent(fitness_gradient=uphill, starts=2),
}


def problem(seed: int = 0, wanted: tuple[float, ...] = (0.0, 1.0, 0.0), tolerance: float = 0.05) -> Problem:
    return Problem(
        prior=StandardNormal(DIM),
        goal=Probabilities(wanted=torch.tensor(wanted).double(), tolerance=tolerance),
        rng=torch.Generator().manual_seed(seed),
        known=Known.nothing(DIM),
    )


def run(strategy: Strategy, task: Problem, queries: int = 150) -> tuple[Tensor, Tensor]:
    search, latents, responses = strategy.begin(task), [], []
    while sum(map(len, latents)) < queries:
        latents.append(search.ask())
        responses.append(answers(latents[-1]))
        search.tell(task.goal.fitness(responses[-1], loss=strategy.loss), responses[-1])
        if bool((task.goal.shortfall(responses[-1]) <= 0).any()):
            break
    return torch.cat(latents), torch.cat(responses)


@pytest.mark.parametrize("name", STRATEGIES)
def test_tell_comes_after_ask_and_has_as_many_rows(name: str) -> None:
    search = STRATEGIES[name].begin(problem())
    with pytest.raises(InputError, match="got a tell first"):
        search.tell(torch.zeros(3))
    latents = search.ask()
    assert latents.shape[1] == DIM
    assert latents.dtype == torch.float64
    with pytest.raises(InputError, match="got a second ask"):
        search.ask()
    with pytest.raises(InputError, match=r"must be \(n,\) with n = "):
        search.tell(torch.zeros(len(latents) + 1))
    with pytest.raises(InputError, match="must be finite"):
        search.tell(torch.full((len(latents),), torch.nan))
    responses = answers(latents)
    with pytest.raises(InputError, match=r"`responses` must be \(n, class\)"):
        search.tell(torch.zeros(len(latents)), responses[:, 0])
    search.tell(torch.zeros(len(latents)), responses)
    assert len(search.ask()) > 0


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_same_seed_gives_the_same_search(name: str) -> None:
    first, second, other = (run(STRATEGIES[name], problem(seed), 60)[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert first.shape != other.shape or not torch.equal(first, other)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_class_is_reached(name: str) -> None:
    _, responses = run(STRATEGIES[name], problem())
    assert responses[:, 1].max() >= 0.95


@pytest.mark.parametrize("name", ["cma", "surrogate"])
def test_a_boundary_is_reached(name: str) -> None:
    task = problem(wanted=(0.5, 0.0, 0.5))
    _, responses = run(STRATEGIES[name], task, 200)
    assert task.goal.shortfall(responses).min() <= 0


def test_evolution_is_the_papers() -> None:
    goal = problem().goal
    search = Evolution().begin(problem(7))
    slow = SlowEvolution(DIM, torch.Generator().manual_seed(7))
    slow.evaluate(lambda latent: float(squared_loss(answers(latent[None]), goal.wanted)[0]))  # type: ignore[attr-defined]
    latents = search.ask()
    torch.testing.assert_close(latents, torch.stack([member["latent"] for member in slow.members]))
    for _ in range(4):
        search.tell(goal.fitness(answers(latents), loss="squared"), answers(latents))
        latents = search.ask()
        slow.next_generation()
        expected = torch.stack([member["latent"] for member in slow.members])
        torch.testing.assert_close(torch.cat([search.latents, latents]), expected)
        slow.evaluate(lambda latent: float(squared_loss(answers(latent[None]), goal.wanted)[0]))  # type: ignore[attr-defined]


def test_the_process_agrees_with_scikit_learns() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    rng = np.random.default_rng(0)
    points, new = rng.normal(size=(12, 3)), rng.normal(size=(5, 3))
    outputs = np.stack([np.sin(points[:, 0]), points[:, 1] * points[:, 2]], 1)
    ours = fit_gaussian_process(torch.from_numpy(points), torch.from_numpy(outputs), lengths=(1.3,), noises=(0.01,))
    believed = ours.posterior(torch.from_numpy(new))
    total = 0.0
    for column in range(2):
        theirs = GaussianProcessRegressor(RBF(1.3), alpha=0.01, optimizer=None)
        centred = outputs[:, column] - outputs[:, column].mean()
        mean, spread = theirs.fit(points, centred).predict(new, return_std=True)
        np.testing.assert_allclose(believed.mean[:, column], mean + outputs[:, column].mean(), rtol=1e-6, atol=1e-8)
        scaled = spread**2 * float(ours.variance[column])
        np.testing.assert_allclose(believed.variance[:, column], scaled, rtol=1e-5)
        scale = float(ours.variance[column]) ** 0.5
        likelihood = theirs.fit(points, centred / scale).log_marginal_likelihood_value_
        total += likelihood - 12 * np.log(scale)
    constant = -0.5 * 2 * 12 * (1 + np.log(2 * np.pi))  # at the best variance the quadratic term is n / 2
    assert ours.log_likelihood + constant == pytest.approx(total, rel=1e-8)


def test_length_and_noise_are_the_likeliest() -> None:
    points = torch.linspace(-2, 2, 20).double()[:, None]
    smooth = fit_gaussian_process(points, points.sin(), lengths=(0.05, 1.0), noises=(1e-4, 0.1))
    assert (smooth.length, smooth.noise) == (1.0, 1e-4)


def test_steps_stay_typical_under_a_mixture() -> None:
    means = torch.tensor([[-6.0, 0.0], [6.0, 0.0]])
    prior = Mixture(torch.ones(2), means, torch.tensor([[0.1, 2.0], [0.1, 2.0]]))
    make = Candidates.of(prior, torch.Generator().manual_seed(0), typical=0.2)
    moved = make.near(make.fresh(40), step=0.5, each=5)
    assert len(moved) > 100  # of 160 or so: steps go where the component is wide
    assert prior.log_prob(make.whitening.back(moved).float()).min() >= make.floor - 1e-4


def test_a_surrogate_keeps_away_from_what_was_found() -> None:
    task = problem()
    latents = task.prior.sample(30, rng=task.rng).double()
    found = latents[answers(latents)[:, 1].argmax()][None]
    known = Known(latents=latents, responses=answers(latents))
    again = Problem(prior=task.prior, goal=task.goal, rng=task.rng, known=known, avoid=found, radius=1.0)
    asked = Surrogate(batch=5, candidates=60).begin(again).ask()
    assert torch.cdist(asked, found).min() >= 1.0


def test_a_surrogate_needs_responses_and_takes_many() -> None:
    task = problem()
    search = Surrogate(candidates=30).begin(task)
    search.ask()
    with pytest.raises(InputError, match="`responses` must be told too"):
        search.tell(torch.zeros(1))
    latents = task.prior.sample(450, rng=task.rng).double()
    known = Known(latents=latents, responses=answers(latents))
    many = Problem(prior=task.prior, goal=task.goal, rng=task.rng, known=known)
    assert Surrogate(candidates=30).begin(many).ask().shape == (1, DIM)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Evolution(population=5), "`population` must be"),
        (lambda: Evolution(momentum=1.0), "`momentum` must be"),
        (lambda: Evolution(start="normal"), "`start` must be one of"),
        (lambda: CMAES(covariance="some"), "`covariance` must be one of"),
        (lambda: Surrogate(batch=0), "`batch` must be"),
        (lambda: Surrogate(typical=1.0), "`typical` must be"),
    ],
)
def test_options_that_make_no_sense(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]


def test_losses_by_hand() -> None:
    given, wanted = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([1.0, 0.0, 0.0])
    assert farthest_class(given, wanted).item() == pytest.approx(0.3)  # 1 - 0.7
    assert squared_loss(given, wanted).item() == pytest.approx(0.14)  # 0.09 + 0.04 + 0.01
    assert log_loss(given, wanted).item() == pytest.approx(0.35667, abs=1e-4)  # -log 0.7
    torch.testing.assert_close(from_log_scale(to_log_scale(given)), given)


def test_a_response_must_be_one_number_a_row() -> None:
    goal = HighResponse(response=lambda p: p, threshold=0.5)
    with pytest.raises(InputError, match="one number a row"):
        goal.shortfall(torch.ones(2, 3))


def test_the_prior_pulls_an_ascent_to_where_latents_are_typical() -> None:
    flat = GradientAscent(fitness_gradient=lambda latents, _: torch.zeros_like(latents), n_screen=0)
    task = problem()
    far = torch.full((1, DIM), 3.0, dtype=torch.float64)
    known = Known(latents=far, responses=answers(far))
    search = flat.begin(Problem(prior=task.prior, goal=task.goal, rng=task.rng, known=known))
    before = search.ask()
    search.tell(torch.zeros(1), answers(before))
    assert torch.equal(before, far)
    assert float(search.ask().norm()) < float(far.norm())  # the density of N(0, I) rises towards 0


def test_a_surrogate_keeps_the_answers_nearest_the_goal() -> None:
    task = problem()
    latents = task.prior.sample(450, rng=task.rng).double()
    known = Known(latents=latents, responses=answers(latents))
    search = Surrogate(candidates=30).begin(Problem(prior=task.prior, goal=task.goal, rng=task.rng, known=known))
    kept = search._nearest()  # type: ignore[attr-defined]
    shortfall = task.goal.shortfall(known.responses)
    assert len(kept) == 400
    assert task.goal.shortfall(kept.responses).sort().values.tolist() == shortfall.sort().values[:400].tolist()


def test_evolution_goes_on_from_the_best() -> None:
    search = Evolution(population=4, elites=1, sigma=1e-6, momentum=0.0).begin(problem())
    first = search.ask()
    search.tell(torch.tensor([0.0, 3.0, 1.0, 2.0]).double(), answers(first))
    assert torch.cdist(search.ask(), first[1:2].double()).max() < 1e-4


def test_ways_between_two_groups_lie_between_them() -> None:
    make = Candidates.of(StandardNormal(2), torch.Generator().manual_seed(0), typical=0.05)
    made = make.between(torch.tensor([[1.5, 0.0]]).double(), torch.tensor([[0.0, 0.5]]).double(), 200)
    radius, angle = made.norm(dim=1), torch.atan2(made[:, 1], made[:, 0])
    assert len(made) > 150
    assert 0.45 <= radius.min() <= radius.max() <= 1.55
    assert 0.0 <= angle.min() <= angle.max() <= torch.pi / 2
    share = 1.5 - radius  # of the way: the radius says how far, and the direction must be that of the straight line
    expected = torch.atan2(0.5 * share, 1.5 * (1 - share))
    torch.testing.assert_close(angle, expected, atol=0.06, rtol=0.0)  # the prior was measured, not known


def test_a_process_without_evidence_has_the_typical_length() -> None:
    outputs = torch.tensor([[0.0], [1.0]]).double()
    process = fit_gaussian_process(torch.tensor([[0.0], [50.0]]).double(), outputs)  # too far apart to tell
    assert process.length == pytest.approx(0.7)
