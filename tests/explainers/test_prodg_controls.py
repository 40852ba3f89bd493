"""What is compared with the prototypes of ProDG, on cases that can be reckoned."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from painted import DIM, Painted, mixing, prodg
from reference import prodg as slow
from torch import Tensor, nn
from toys import small_cnn

import likethat as lt
from likethat._progress import Progress
from likethat.explainers.prodg import controls
from likethat.explainers.prodg.ascent import Climb, Group, Summit
from likethat.explainers.prodg.controls import (
    best_of_prior,
    made_for_random_weights,
    starting_group,
    with_random_weights,
)
from likethat.explainers.prodg.run import SCHEDULE, Run
from likethat.features import Features, collect
from likethat.generators import Generated
from likethat.generators.priors import StandardNormal


class Noisy(Painted):
    takes_seeds = True

    def __call__(self, latents: Tensor, *, seeds: list[int] | None = None) -> Tensor:
        seeds = [0] * len(latents) if seeds is None else seeds
        noise = torch.stack([torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return super().__call__(latents) * noise


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def features(model: lt.SplitModel) -> Features:
    return collect(model, Generated(Painted(), 40))


def test_a_group_begins_with_its_samples_or_with_the_best_where_noise_differs() -> None:
    rows = torch.tensor([[4, 1, 7], [2, 0, 9]])
    plain, noisy = Generated(Painted(), 12, seed=3), Generated(Noisy(), 12, seed=3)
    for source, n_own in ((plain, 3), (noisy, 1)):
        group = starting_group(source, rows, torch.tensor([5, 6]), 2 if n_own == 1 else 3)
        assert torch.equal(group.latents, torch.stack([source.latents(part) for part in rows])[:, :n_own])
        assert group.seeds.tolist() == [source.seeds(part)[: 2 if n_own == 1 else 3] for part in rows]


class Bare(nn.Module):
    """Parameters that no module makes anew."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.spread = nn.Parameter(5 + 3 * torch.randn(20_000, generator=rng))
        self.same, self.one = nn.Parameter(torch.full((20_000,), 7.0)), nn.Parameter(torch.tensor([4.0]))
        self.two = nn.Parameter(torch.tensor([1.0, 9.0]))
        self.count = nn.Parameter(torch.arange(4), requires_grad=False)
        self.inner = nn.Linear(4, 4)


@pytest.mark.slow
def test_every_weight_is_made_anew_with_the_spread_that_it_had() -> None:
    network, ones, twos = Bare(), [], []
    before = copy.deepcopy(network.state_dict())
    for seed in range(1, 201):  # the network itself may have been made with 0
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            controls._randomise(network)
        ones.append(float(network.one.detach()))
        twos.append(network.two.detach().clone())
        with torch.no_grad():
            network.two.copy_(torch.tensor([1.0, 9.0]))
        if seed == 1:
            after = copy.deepcopy(network.state_dict())
    assert float(after["spread"].mean()) == pytest.approx(0, abs=0.1)
    assert float(after["spread"].std()) == pytest.approx(3, rel=0.05)
    assert float(after["same"].std()) == pytest.approx(0.02, rel=0.05)  # what does not differ has no spread to keep
    assert float(torch.tensor(ones).std()) == pytest.approx(1, rel=0.2)
    assert float(torch.cat(twos).std()) == pytest.approx(32**0.5, rel=0.1)  # of 1 and 9
    assert torch.equal(after["count"], torch.arange(4))
    assert float(after["inner.weight"].abs().max()) <= 0.5  # by the module's own rule: 1 / sqrt(4)
    assert not torch.equal(after["inner.weight"], before["inner.weight"])


def test_random_normalisations_are_measured_on_64_views_at_most(model: lt.SplitModel) -> None:
    views = (255 * torch.rand(70, 3, 16, 16, generator=torch.Generator().manual_seed(2))).byte()
    views[64:] = 255
    network = with_random_weights(model, views, seed=0).network
    seen = network[0](views[:64].float() / 255)  # type: ignore[index, operator]
    assert torch.allclose(network[1].running_mean, seen.mean((0, 2, 3)), atol=1e-5)  # type: ignore[index, union-attr]
    assert network[1].momentum == model.network[1].momentum  # type: ignore[index, union-attr]
    assert not any(module.training for module in network.modules())


def options_of(model: lt.SplitModel, generator: Any, **options: Any) -> Climb:
    usual: dict[str, Any] = {"search": "gradient", "steps": 0, "step": 0.1, "closeness": 0.1, "diversity": 0.1}
    usual |= {"mixed_precision": False, "scale": torch.ones(DIM), "mixing": mixing(), "seed": 0}
    return Climb(model=model, generator=generator, **{**usual, **options})


@pytest.mark.parametrize("steps", [0, 2])
def test_prototypes_for_random_weights_are_given_to_the_channels_that_they_suit_best(
    steps: int, model: lt.SplitModel, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    purity, groups, climbs, seen = torch.tensor([[0.9, 0.8, 0.0], [0.8, 0.1, 0.0], [0.0, 0.0, 0.4]]), [], [], []

    def read_by(_model: Any, _options: Any, group: Group, units: Tensor) -> Tensor:
        assert units.tolist() == [5, 1, 8]
        groups.append(group)
        first = sum(len(one.units) for one in groups[:-1])
        return purity[first : first + len(group.units)]

    def climb(options: Any, group: Group, told: Any) -> Any:
        assert options.model is not model
        assert not torch.equal(options.mixing, mixing())  # it has a rotation of its own
        climbs.append(group)
        told(1)
        return Summit(latents=group.latents + 1, purity=torch.ones(1), calls=1)

    monkeypatch.setattr(controls, "_read_by", read_by)
    monkeypatch.setattr(controls, "climb", climb)
    found = made_for_random_weights(
        model, features, Generated(Painted(), 40), options_of(model, Painted(), steps=steps), torch.tensor([5, 1, 8]),
        n=2, batch=4, schedule=SCHEDULE, watch=seen.append,
    )  # fmt: skip
    # The first two suit channel 0 best; together .8 + .8 is more than .9 + .1.
    assert found == pytest.approx((0.8 + 0.8 + 0.4) / 3)
    assert [len(group.units) for group in groups] == [2, 1]  # two channels of two images are a batch of four
    assert [(item.done, item.total, item.stage) for item in seen] == [
        (2, 3, "control: random weights"), (3, 3, "control: random weights")
    ]  # fmt: skip
    assert len(climbs) == (2 if steps else 0)
    for group, climbed in zip(groups, climbs, strict=False):
        assert torch.equal(group.latents, climbed.latents + 1)


def test_a_channel_of_more_images_than_a_batch_climbs_alone(
    model: lt.SplitModel, features: Features, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def read_by(_model: Any, _options: Any, group: Group, units: Tensor) -> Tensor:
        sizes.append(len(group.units))
        return torch.zeros(len(group.units), len(units))

    monkeypatch.setattr(controls, "_read_by", read_by)
    made_for_random_weights(
        model, features, Generated(Painted(), 40), options_of(model, Painted()), torch.tensor([5, 1, 8]),
        n=2, batch=1, schedule=SCHEDULE, watch=None,
    )  # fmt: skip
    assert sizes == [1, 1, 1]


@pytest.mark.parametrize("generator", [Painted(), Noisy()])
def test_images_are_read_by_the_model_that_is_explained(generator: Any, model: lt.SplitModel) -> None:
    source = Generated(generator, 6)
    group = starting_group(source, torch.arange(6).reshape(2, 3), torch.tensor([0, 1]), 3)
    found = controls._read_by(model, options_of(model, generator), group, torch.tensor([3, 12]))
    assert found.shape == (2, 2)
    for place in range(2):
        each = group.latents[place].expand(3, -1)
        seeds = {"seeds": group.seeds[place].tolist()} if isinstance(generator, Noisy) else {}
        with torch.no_grad():
            maps = model.features(generator(each, **seeds)).flatten(2)
        for column, unit in enumerate((3, 12)):
            purity = sum(slow.purity(one, mixing(), unit) for one in maps) / 3
            assert float(found[place, column]) == pytest.approx(purity, abs=1e-5)


def test_of_the_prior_as_many_are_looked_at_as_were_asked_for(model: lt.SplitModel, features: Features) -> None:
    seen: list[Progress] = []
    source = Generated(Painted(), 150)
    found = best_of_prior(model, source, features, mixing(), torch.tensor([3]), n=2, watch=seen.append)
    assert (seen[-1].done, seen[-1].total) == (150, 150)
    assert [item.done for item in seen] == sorted({item.done for item in seen})
    alone = best_of_prior(model, source, collect(model, Generated(Painted(), 10)), mixing(), torch.tensor([3]), n=2)
    torch.testing.assert_close(found, alone)  # whichever part of them was known already
    some = replace(features, kept=features.kept[5:25], maps=features.maps[5:25])
    torch.testing.assert_close(found, best_of_prior(model, source, some, mixing(), torch.tensor([3]), n=2))


def test_the_spread_of_the_prior_is_that_of_a_thousand_samples(model: lt.SplitModel) -> None:
    one: Any = SimpleNamespace(method=prodg(seed=5, step=0.3, closeness=0.2), model=model, _has_gradient=lambda: True)
    climber = Run._climber(one, mixing())
    sample = StandardNormal(DIM).sample(1000, rng=torch.Generator().manual_seed(5))
    assert torch.equal(climber.scale, sample.std(0))
    assert (climber.search, climber.step, climber.closeness, climber.diversity, climber.seed) == (
        "gradient", 0.3, 0.2, 0.1, 5
    )  # fmt: skip
