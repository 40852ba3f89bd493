"""ProDG's parts on cases that can be reckoned: where channels begin, what is compared with them, what a run notes."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from reference import prodg as slow
from torch import Tensor, nn
from toys import small_cnn

import likethat as lt
from likethat._checkpoint import Checkpoint
from likethat._progress import Progress
from likethat.explainers.prodg import controls, run
from likethat.explainers.prodg.ascent import Climb, Group, Summit
from likethat.explainers.prodg.channels import best_samples, channels_of_class, n_candidates_of, respond
from likethat.explainers.prodg.controls import (
    best_of_prior,
    made_for_random_weights,
    starting_group,
    with_random_weights,
)
from likethat.explainers.prodg.run import SCHEDULE, Run, _Climbed
from likethat.features import Features, collect
from likethat.generators import Generated
from likethat.generators.priors import StandardNormal

DIM = 6


class Painted:
    """A grid of 1 x 2 colours."""

    kind, differentiable = "image", True
    prior = StandardNormal(DIM)

    def __call__(self, latents: Tensor) -> Tensor:
        return torch.sigmoid(2 * latents).reshape(-1, 3, 1, 2).repeat_interleave(16, 2).repeat_interleave(8, 3)


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


def mixing() -> Tensor:
    return torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4))).Q


def prodg(**options: Any) -> lt.ProDG:
    usual = {"n_prototypes": 3, "n_samples": 60, "steps": 1, "batch": 9, "controls": False}
    return lt.ProDG(options.pop("generator", Painted()), **{**usual, **options})


# Where channels begin


def of_two_channels(differences: list[float], predicted: list[int]) -> Features:
    """Samples whose logit of class 0 falls with their number; channel 0 leads channel 1 by these differences."""
    logits = torch.arange(len(differences), 0, -1).float() * 100
    gaps = torch.tensor(differences)
    pooled = torch.stack([logits + gaps, logits - gaps], 1) / 2
    given: Any = {"means": pooled, "pooled": pooled, "predicted": torch.tensor(predicted), "labels": None}
    given |= {"indices": None, "names": [""] * len(pooled), "kept": None, "maps": None, "views": None, "grid": (1, 1)}
    return Features(**given)


@pytest.mark.parametrize(
    ("differences", "n_own", "best"),
    [
        ([-1, -1, -1, -1, 5] + [-20] * 115, 0, 0),  # of 120 samples the five with the highest logit, whose sum is 1
        ([-1] * 9 + [10] + [-20] * 490, 0, 0),  # of 500 the fiftieth part: ten
        ([-1] * 3, 0, 1),  # three, where there are no more
        ([-9] * 10 + [1] * 5, 5, 0),  # five that are given to the class say more than logits
        ([-9] * 10 + [1] * 4, 4, 1),  # four are too few
    ],
)
def test_the_channels_of_a_class_are_read_off_its_most_typical_samples(
    differences: list[float], n_own: int, best: int
) -> None:
    predicted = [1] * (len(differences) - n_own) + [0] * n_own
    samples, head = of_two_channels(differences, predicted), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert channels_of_class(samples, torch.eye(2), head, 0, 1).tolist() == [best]
    assert channels_of_class(samples, torch.eye(2), head, 0, 99).tolist() == [best, 1 - best]
    swapped = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert channels_of_class(samples, swapped, head, 0, 1).tolist() == [1 - best]  # numbers are those of the mixing


@pytest.mark.parametrize(
    ("n_samples", "n", "candidates"), [(1000, 5, 20), (2000, 5, 40), (10, 5, 10), (5, 5, 5), (100, 30, 30)]
)
def test_among_how_many_the_purest_are_chosen(n_samples: int, n: int, candidates: int) -> None:
    assert n_candidates_of(n_samples, n) == candidates


def test_a_black_map_is_of_no_purity() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=4, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
    )
    silent = lt.split(network.eval(), example=torch.rand(2, 3, 16, 16))
    assert respond(silent, torch.zeros(2, 3, 16, 16), mixing()[[1, 2]]).purity.tolist() == [0.0, 0.0]
    _, purity = controls._answers(torch.zeros(2, 16, 4), mixing()[:3], mixing())
    assert purity.tolist() == [[0.0] * 3] * 2


def test_starts_are_the_purest_first(features: Features) -> None:
    starts = best_samples(features, mixing(), torch.tensor([7, 2]), 4)
    assert bool((starts.purity.diff(dim=1) <= 0).all())
    for place, unit in enumerate((7, 2)):
        for rank in range(4):
            purity = slow.purity(features.maps[starts.rows[place, rank]], mixing(), unit)
            assert float(starts.purity[place, rank]) == pytest.approx(purity, abs=1e-5)


# What is compared with the prototypes


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


# A run


def climbed_of(purity: list[list[float]]) -> _Climbed:
    n = len(purity)
    values = torch.tensor(purity)
    return _Climbed(
        units=torch.arange(n) + 5, latents=torch.zeros(n, 2, DIM), seeds=torch.zeros(n, 2, dtype=torch.long),
        purity=values, start=values.clone(), calls=7,
    )  # fmt: skip


def test_channels_that_stay_silent_are_begun_anew_twice_from_other_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[Group] = []
    brought = {1: torch.tensor([[0.0, 0.0], [0.4, 0.2]]), 2: torch.tensor([[-0.5, 0.001]])}

    def climb(_: Any, group: Group, told: Any) -> Summit:
        told(1)
        groups.append(group)
        return Summit(latents=group.latents, purity=brought[len(groups)], calls=len(group.seeds) * 10)

    monkeypatch.setattr(run, "climb", climb)
    one: Any = SimpleNamespace(method=prodg(n_prototypes=2, seed=11))
    # Silent up to .001: the first and the last; the second is not, nor the third, whose other image is seen.
    kept = Run._restart(one, None, climbed_of([[-0.2, -0.1], [0.0011, -1.0], [-1.0, 0.5], [0.001, 0.0]]))  # type: ignore[arg-type]
    assert [group.units.tolist() for group in groups] == [[5, 8], [5]]
    assert torch.allclose(kept.purity, torch.tensor([[0.0, 0.0], [0.0011, -1.0], [-1.0, 0.5], [0.4, 0.2]]))
    fresh = [Generated(Painted(), 4, seed=11 + 7919), Generated(Painted(), 2, seed=11 + 2 * 7919)]  # others each time
    for group, source in zip(groups, fresh, strict=True):
        assert torch.equal(group.latents.flatten(0, 1), source.latents(torch.arange(len(source))))
    assert torch.equal(kept.latents[0], groups[0].latents[0])
    assert torch.equal(kept.latents[3], groups[0].latents[1])
    assert torch.equal(kept.seeds[3], groups[0].seeds[1])
    assert bool((kept.latents[1:3] == 0).all())
    assert (kept.calls, kept.restarted) == (7 + 20 + 10, 2 + 1)
    assert torch.equal(kept.start, climbed_of([[-0.2, -0.1], [0.0011, -1.0], [-1.0, 0.5], [0.001, 0.0]]).start)


def test_both_halves_of_a_run_are_joined() -> None:
    first, second = climbed_of([[0.1, 0.2]]), climbed_of([[0.3, 0.4], [0.5, 0.6]])
    second.calls, second.restarted, first.restarted = 11, 4, 2
    both = first.joined(second)
    assert (both.calls, both.restarted) == (18, 6)
    assert both.units.tolist() == [5, 5, 6]
    assert both.purity.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert set(both.tensors()) == {"units", "latents", "seeds", "purity", "start"}


def test_every_group_that_is_done_is_left_in_the_checkpoint(
    model: lt.SplitModel, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    write = Checkpoint.write_state

    def watched(self: Any, name: str, tensors: Any, about: Any) -> None:
        left.extend([len(tensors["units"])] if name == "climbed" else [])
        write(self, name, tensors, about)

    monkeypatch.setattr(Checkpoint, "write_state", watched)
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: True)
    prodg().fit(model, checkpoint=tmp_path / "often", channels=[1, 4, 6, 8, 9])
    assert left == [3, 5, 5]  # three channels of three images are a batch of nine; once more at the end
    left.clear()
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: False)
    prodg().fit(model, checkpoint=tmp_path / "seldom", channels=[1, 4, 6, 8, 9])
    assert left == [5]


def test_progress_of_the_climb_is_counted_in_images(model: lt.SplitModel) -> None:
    seen: list[Progress] = []
    prodg(steps=4).fit(model, channels=[1, 4, 6, 8], watch=seen.append)
    climbing = [item for item in seen if item.stage == "climbing"]
    assert {item.total for item in climbing} == {4 * 3 * 5}
    assert [item.done for item in climbing] == [9, 18, 27, 36, 45, 48, 51, 54, 57, 60]
    assert climbing[-1].seconds_left == 0


def test_what_a_run_notes(model: lt.SplitModel) -> None:
    some = prodg(steps=0, algorithm="evolution").fit(model, channels=[0, 3, 5])
    notes = " ".join(some.provenance.notes)
    assert "3 of 16 channels climbed; the others show their best samples." in notes
    assert "No image was opened: 60 images were made by Painted." in notes
    assert "without gradients" not in notes  # nothing was searched
    assert some.provenance.measures["climbing_channels"] == 3
    assert {item.source for item in some.prototypes if item.image.startswith("made-")} == {
        f"made for channel {unit}, a sample" for unit in (0, 3, 5)
    }
    whole = prodg(steps=2).fit(model)
    assert "channels climbed" not in " ".join(whole.provenance.notes)
    assert {item.source for item in whole.prototypes_of(2)} == {"made for channel 2, climbed 2 steps"}


def test_a_generator_that_says_it_has_no_gradient_is_searched(model: lt.SplitModel) -> None:
    class Blind(Painted):
        differentiable = False

    bank = prodg(generator=Blind()).fit(model, channels=[0])
    assert "Prototypes were found without gradients (evolution)." in bank.provenance.notes


def test_twelve_channels_of_a_class_climb_unless_told(model: lt.SplitModel) -> None:
    bank = prodg(steps=0).fit(model, target=1)
    assert bank.provenance.measures["climbing_channels"] == 12


def test_negative_and_positive_prototypes_stand_in_order(model: lt.SplitModel) -> None:
    bank = prodg(steps=0).fit(model, channels=[0, 3, 5])
    keys = [(item.unit, item.kind == "negative", item.rank) for item in bank.prototypes]
    assert keys == sorted(keys)
    assert {item.kind for item in bank.prototypes if item.unit == 3} == {"positive", "negative"}
    assert set(bank.images) == {item.image for item in bank.prototypes}  # no picture that nothing shows


def test_idle_channels_that_did_not_climb_are_counted_as_dead() -> None:
    network = small_cnn()
    with torch.no_grad():
        network[3].weight[5], network[3].bias[5] = 0.0, -1.0  # type: ignore[index, operator]
    model = lt.split(network, example=torch.rand(2, 3, 16, 16))
    bank = prodg(steps=0).fit(model, channels=[0, 3])
    dead = [unit for unit in range(16) if not bank.prototypes_of(unit)]
    assert bank.provenance.measures["dead_channels"] == len(dead) > 0
    assert not {0, 3} & set(dead)
    whole = prodg(steps=0).fit(model)  # one that climbed in vain is counted once
    assert whole.provenance.measures["dead_channels"] == len(dead)


@pytest.mark.parametrize("channels", ["01", 3, [], [1, 1], [16], [-1]])
def test_channels_that_are_none(channels: Any, model: lt.SplitModel) -> None:
    with pytest.raises(lt.errors.InputError, match="`channels` must be"):
        prodg().fit(model, channels=channels)
    prodg(steps=0).fit(model, channels=[15, 0])
