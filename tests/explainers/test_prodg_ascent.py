"""How ProDG climbs: Adam's way, step by step, and searches that ask no gradient."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import small_cnn

import likethat as lt
from likethat.explainers.prodg import ascent
from likethat.explainers.prodg.ascent import Climb, Group, Summit, _Ascent, _Lineages, climb
from likethat.generators.priors import StandardNormal

DIM = 6


class Painted:
    """A grid of 1 x 2 colours, over which the start noise lies where a generator takes one."""

    kind, differentiable = "image", True
    prior = StandardNormal(DIM)

    def __init__(self, *, takes_seeds: bool = False) -> None:
        self.takes_seeds, self.made, self.asked = takes_seeds, 0, []  # type: ignore[var-annotated]

    def __call__(self, latents: Tensor, *, seeds: list[int] | None = None) -> Tensor:
        self.made += len(latents)
        self.asked.append((latents.detach().clone(), seeds))
        images = torch.sigmoid(2 * latents).reshape(-1, 3, 1, 2).repeat_interleave(16, 2).repeat_interleave(8, 3)
        if seeds is None:
            return images
        noise = [torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return images * torch.stack(noise)


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


def mixing() -> Tensor:
    return torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4))).Q


def options_for(model: lt.SplitModel, generator: Any, **options: Any) -> Climb:
    usual = {"search": "gradient", "steps": 5, "step": 0.2, "closeness": 0.3, "diversity": 0.4, "seed": 0}
    usual |= {"mixed_precision": False, "scale": torch.linspace(0.5, 2.0, DIM), "mixing": mixing()}
    return Climb(model=model, generator=generator, **{**usual, **options})


def group_of(*units: int, n_own: int = 3, n: int = 3) -> Group:
    latents = torch.randn(len(units), n_own, DIM, generator=torch.Generator().manual_seed(1))
    return Group(units=torch.tensor(units), latents=latents, seeds=torch.arange(len(units) * n).reshape(-1, n))


def answers(options: Climb, group: Group, place: int, latents: Tensor) -> tuple[Tensor, Tensor]:
    """Return purity and pooled features of a channel's images."""
    n, unit = group.seeds.shape[1], int(group.units[place])
    each = latents if len(latents) == n else latents.expand(n, -1)
    seeds = group.seeds[place].tolist() if options.generator.takes_seeds else None
    images = options.generator(each, seeds=seeds)
    maps = options.model.features(options.model.preprocess.view(images)).flatten(2)
    vectors = torch.stack([one[:, int((options.mixing[unit] @ one).argmax())] for one in maps])
    return vectors @ options.mixing[unit] / vectors.norm(dim=1), maps.mean(2)


def by_adam(options: Climb, group: Group, place: int) -> tuple[Tensor, Tensor]:
    """Climb with torch's own Adam on latents in units of the prior; return the purest on the way and its purity."""
    start = group.latents[place]
    whitened = nn.Parameter(start / options.scale)
    adam = torch.optim.Adam([whitened], lr=options.step, betas=(0.9, 0.99), eps=1e-8)
    best, purest = start.clone(), torch.full((group.seeds.shape[1],), -torch.inf)
    for number in range(options.steps + 1):
        at = whitened * options.scale
        purity, pooled = answers(options, group, place, at)
        better = purity > purest if len(start) == len(purity) else (purity.mean() > purest.mean()).expand(len(purity))
        purest = torch.where(better, purity, purest).detach()
        best = torch.where(better[: len(start), None], at, best).detach()
        if number < options.steps:
            units = nn.functional.normalize(pooled, dim=1)
            alike, away = (units @ units.T).mean(), ((at - start) / options.scale).square().mean()
            loss = len(purity) * (options.diversity * alike + options.closeness * away) - purity.sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
    return best, purest


@pytest.mark.parametrize("n_own", [3, 1])  # a latent an image, or one for all, which then differ by noise
def test_the_climb_is_adams_and_keeps_the_purest_on_the_way(n_own: int, model: lt.SplitModel) -> None:
    options = options_for(model, Painted(takes_seeds=n_own == 1))
    group, told = group_of(2, 9, n_own=n_own), []  # type: ignore[var-annotated]
    found = climb(options, group, told.append)
    assert options.generator.made == found.calls == sum(told) == 6 * 2 * 3
    assert len(told) == 6
    for place in range(2):
        best, purest = by_adam(options, group, place)
        torch.testing.assert_close(found.latents[place], best, atol=2e-3, rtol=0)
        torch.testing.assert_close(found.purity[place], purest, atol=1e-4, rtol=0)
    assert bool((found.latents - group.latents).abs().amax((1, 2)).gt(0.1).all())  # it went somewhere


def test_images_of_one_latent_are_kept_together_by_their_mean(model: lt.SplitModel) -> None:
    ascent_of = _Ascent(options_for(model, Painted(takes_seeds=True)), group_of(2, n_own=1))
    first, second, third = torch.zeros(1, 1, DIM), torch.ones(1, 1, DIM), torch.full((1, 1, DIM), 2.0)
    for latents, purity in ((first, [0.1, 0.2, 0.3]), (second, [0.0, 0.2, 0.5]), (third, [0.6, 0.0, 0.0])):
        ascent_of._note(latents, torch.tensor(purity))
    assert torch.equal(ascent_of._best, second)
    assert ascent_of._best_purity[0].tolist() == pytest.approx([0.0, 0.2, 0.5])  # not the best of each image


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_direction_that_is_infinite_is_none(sign: float, model: lt.SplitModel) -> None:
    class Rooted(Painted):
        def __call__(self, latents: Tensor, *, seeds: list[int] | None = None) -> Tensor:
            return super().__call__(sign * latents.sqrt(), seeds=seeds)  # the slope of a root is infinite at 0

    group = Group(units=torch.tensor([2]), latents=torch.rand(1, 3, DIM), seeds=torch.zeros(1, 3, dtype=torch.long))
    group.latents[..., ::2] = 0.0
    gradient = _Ascent(options_for(model, Rooted(), closeness=0.0), group)._gradient(group.latents)
    assert bool((gradient[..., ::2] == 0).all())
    assert bool((gradient[..., 1::2] != 0).any())
    assert bool(torch.isfinite(gradient).all())


def searched(model: lt.SplitModel, algorithm: str, **options: Any) -> tuple[Summit, Group, Painted, list[int]]:
    if algorithm == "cma-es":
        pytest.importorskip("cma")
    n_own = options.pop("n_own", 3)
    generator, group, told = Painted(takes_seeds=n_own == 1), group_of(2, 9, n_own=n_own), []  # type: ignore[var-annotated]
    return climb(options_for(model, generator, search=algorithm, **options), group, told.append), group, generator, told


@pytest.mark.parametrize(("algorithm", "a_round"), [("evolution", 2), ("cma-es", 4)])
@pytest.mark.parametrize("n_own", [3, 1])
def test_a_search_makes_as_many_images_as_the_gradient_would(
    algorithm: str, a_round: int, n_own: int, model: lt.SplitModel
) -> None:
    found, group, generator, told = searched(model, algorithm, n_own=n_own)
    assert found.calls == generator.made
    assert found.calls == sum(told) + 2 * 3  # the samples themselves are made first, and are no step
    for_a_round = a_round * 3  # each image, or each latent with its three, has a search of its own
    assert set(told) == {for_a_round}
    assert 6 * 3 <= found.calls / 2 < 6 * 3 + for_a_round
    for latents, seeds in generator.asked:
        assert seeds is None or len(seeds) == len(latents)
    if n_own == 1:  # each latent is looked at in the same three noises
        assert {tuple(seeds[at : at + 3]) for _, seeds in generator.asked for at in range(0, len(seeds), 3)} == {
            tuple(row) for row in group.seeds.tolist()
        }


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["evolution", "cma-es"])
@pytest.mark.parametrize("n_own", [3, 1])
def test_a_search_trades_purity_for_closeness_as_the_gradient_does(
    algorithm: str, n_own: int, model: lt.SplitModel
) -> None:
    for closeness in (0.0, 0.05, 1e6):
        found, group, _, _ = searched(model, algorithm, n_own=n_own, closeness=closeness, steps=10)
        options = options_for(model, Painted(takes_seeds=n_own == 1))
        for place in range(2):
            with torch.no_grad():
                before, _ = answers(options, group, place, group.latents[place])
                after, _ = answers(options, group, place, found.latents[place])
            torch.testing.assert_close(after, found.purity[place], atol=1e-5, rtol=0)
            away = ((found.latents[place] - group.latents[place]) / options.scale).square().mean(1)
            gain = after.reshape(n_own, -1).mean(1) - before.reshape(n_own, -1).mean(1)
            assert bool((gain >= closeness * away - 1e-6).all())  # never worse than where it began
            if closeness == 0:
                assert float(gain.mean()) > 0.01
            if closeness == 1e6:
                assert torch.equal(found.latents[place], group.latents[place])


@pytest.mark.slow
def test_a_step_of_a_search_is_measured_in_the_spread_of_the_prior(model: lt.SplitModel) -> None:
    """Evolution scatters by twice the step in all directions alike, CMA-ES by the step of a prior of spread 1."""
    for algorithm, width in (("evolution", 2 * 0.1 * 1.25), ("cma-es", 0.1)):
        _, group, generator, _ = searched(model, algorithm, step=0.1, steps=25, closeness=1e6)
        first = [latents - group.latents[place] for place in range(2) for latents, _ in _rounds(generator, place)]
        assert float(torch.cat(first).std()) == pytest.approx(width, rel=0.25)


def _rounds(generator: Painted, place: int) -> list[tuple[Tensor, Any]]:
    """Return what was asked for a channel, each latent beside the sample it began as, the first rounds only."""
    half = len(generator.asked) // 2
    part = generator.asked[1 + place * half : 6 + place * half]
    return [(latents.reshape(3, -1, DIM).transpose(0, 1), seeds) for latents, seeds in part]


def test_each_search_has_a_stream_of_chance_of_its_own(model: lt.SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    begin = ascent.Evolution.begin

    def watched(self: Any, problem: Any) -> Any:
        seeds.append(problem.rng.initial_seed())
        return begin(self, problem)

    monkeypatch.setattr(ascent.Evolution, "begin", watched)
    for seed in (0, 1):
        searched(model, "evolution", seed=seed, steps=1)
    assert seeds[:6] == [202, 203, 204, 909, 910, 911]  # those of every version: the same seed, the same bank
    assert seeds[6:] == [101_000_303 + one for one in seeds[:6]]


def test_what_a_search_begins_with_is_known_to_it(model: lt.SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[Any] = []
    begin = ascent.Evolution.begin

    def watched(self: Any, problem: Any) -> Any:
        known.append(problem)
        return begin(self, problem)

    monkeypatch.setattr(ascent.Evolution, "begin", watched)
    _, group, _, _ = searched(model, "evolution", steps=1)
    options = options_for(model, Painted())
    with torch.no_grad():
        purity = torch.cat([answers(options, group, place, group.latents[place])[0] for place in range(2)])
    torch.testing.assert_close(torch.cat([one.known.latents for one in known]).float(), group.latents.flatten(0, 1))
    found = torch.cat([one.goal.fitness(one.known.responses, loss="squared") for one in known])
    assert found.argsort().tolist() == purity.argsort().tolist()


def test_closeness_is_the_mean_square_in_the_spreads_of_the_prior() -> None:
    scale = torch.tensor([1.0, 2.0, 4.0])
    one: Any = SimpleNamespace(_start=torch.ones(2, 3), _options=SimpleNamespace(scale=scale))
    moved = _Lineages._away(one, torch.tensor([[2.0, 3.0, 5.0], [1.0, 1.0, -7.0]]), torch.tensor([0, 1]))
    assert moved.tolist() == pytest.approx([(1 + 1 + 1) / 3, (0 + 0 + 4) / 3])
