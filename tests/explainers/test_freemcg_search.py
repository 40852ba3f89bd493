"""The parts of FreeMCG's search, each on a case whose answer is plain."""

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.explainers.freemcg import search
from likethat.explainers.freemcg.components import Components, revert, revert_least_changed, with_details
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.results import status_of
from likethat.explainers.freemcg.run import _MOST, _within_reach
from likethat.explainers.freemcg.search import (
    REACH,
    Plan,
    _confirm,
    _ended,
    _Noise,
    _peel,
    bring_nearer,
)
from likethat.explainers.freemcg.spaces import ImageSpace, LatentSpace
from likethat.explanations.status import Reason

SIZE = 8


class Flat:
    """The denoiser of pictures of one grey each."""

    shape = (1, SIZE, SIZE)
    sigma_max = 4.0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x)


def bright_or_fooled(x: Tensor) -> Tensor:
    """The second class: bright pictures, and any whose first pixel is white."""
    logit = 40 * (x.mean(dim=(1, 2, 3)) - 0.5) + 30 * (x[:, 0, 0, 0] - x.mean(dim=(1, 2, 3)) > 0.5)
    return torch.stack([torch.zeros(len(x)), logit], dim=1)


@pytest.fixture
def space() -> ImageSpace:
    return ImageSpace(Flat(), torch.full((1, SIZE, SIZE), 0.2))


def asked(space: ImageSpace, inputs: Tensor, *, budget: int = 50) -> Archive:
    archive = Archive(
        box=lt.BlackBox(bright_or_fooled, budget=budget),
        target=1,
        source_class=0,
        distance=space.distance,
        cost=space.cost,
        dissimilarity=space.dissimilarity,
        budget=budget,
    )
    archive.ask(inputs)
    return archive


def fooling() -> Tensor:
    image = torch.full((1, 1, SIZE, SIZE), 0.2)
    image[0, 0, 0, 0] = 1.0
    return image


def bright() -> Tensor:
    return torch.full((1, 1, SIZE, SIZE), 0.8)


def test_what_does_not_survive_denoising_is_passed_over(space: ImageSpace) -> None:
    archive = asked(space, torch.cat([fooling(), bright()]))
    assert archive.nearest(4.0) == 0
    _confirm(space, archive, Plan(n_particles=4, target_margin=4.0), 200, rng=torch.Generator().manual_seed(0))
    row = archive.nearest(4.0)
    assert row is not None
    assert float(archive.input(row).mean()) > 0.6


def test_the_nearest_stays_when_none_survives(space: ImageSpace) -> None:
    archive = asked(space, fooling())
    _confirm(space, archive, Plan(n_particles=4, target_margin=4.0), 200, rng=torch.Generator().manual_seed(0))
    assert archive.nearest(4.0) == 0


def test_a_check_beyond_the_budget_changes_nothing(space: ImageSpace) -> None:
    archive = asked(space, torch.cat([fooling(), bright()]), budget=4)
    _confirm(space, archive, Plan(n_particles=4, target_margin=4.0), 200, rng=torch.Generator().manual_seed(0))
    assert archive.nearest(4.0) == 0
    assert archive.box.queries <= 4


def test_late_in_the_search_more_of_the_best_change_is_asked_for(space: ImageSpace) -> None:
    archive = asked(space, torch.full((1, 1, SIZE, SIZE), 0.45))
    points = torch.stack([torch.full((1, SIZE, SIZE), 0.45), torch.full((1, SIZE, SIZE), 0.55)])
    margins = archive.ask(space.decode(points), points)  # the second class leads by 2; 4 is wanted
    early, late = (Plan(n_particles=2, target_margin=4.0, budget=budget) for budget in (200, 5))
    assert _ended(space, archive, early, points, margins, 0) is None
    assert len(archive.distances) == 3
    assert _ended(space, archive, late, points, margins, 0) == "reached"
    further = [float(archive.input(row).mean()) for row in (3, 4)]
    assert further == pytest.approx([0.2 + 0.35 * share for share in (1.25, 1.6)], abs=1e-5)


def test_pixels_that_do_not_count_are_the_sources_again() -> None:
    source = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) * 0.2
    space = ImageSpace(Flat(), source)
    changed = (source + 0.05).clone()
    changed[:, :2, :2] = 1.0  # the white first pixel is all that counts
    archive = asked(space, changed[None])
    plan = Plan(n_particles=4, target_margin=4.0)
    _peel(space, archive, plan, 50, rng=torch.Generator())
    row = archive.nearest(plan.target_margin)
    assert row is not None
    left = archive.input(row)[0]
    assert bool((left == source).float().mean() > 0.8)
    assert float(archive.margins[row]) >= plan.target_margin
    assert archive.box.queries <= 2 + 5  # the source is asked twice, then one at each halving


def test_passing_over_spares_what_was_found_before(space: ImageSpace) -> None:
    archive = asked(space, torch.cat([fooling(), bright()]))
    archive.found = [0]
    archive.pass_over(up_to=10.0)
    assert archive.nearest(4.0) is None
    archive.found = []
    assert archive.nearest(4.0) == 0


def test_the_least_changed_pixels_go_back_bit_for_bit() -> None:
    rng = torch.Generator().manual_seed(0)
    source = torch.rand(3, 16, 16, generator=rng)
    changed = (source + 0.004 * torch.randn(source.shape, generator=rng)).clamp(0, 1)
    changed[:, 4:10, 4:10] = 1 - source[:, 4:10, 4:10].round()
    left = revert_least_changed(source, changed, 0.8)
    assert bool((left == source).all(dim=0).float().mean() > 0.5)
    assert torch.equal(left[:, 6:8, 6:8], changed[:, 6:8, 6:8])


def test_a_generators_faults_are_no_change() -> None:
    source = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(1))
    rebuilt = torch.full_like(source, 0.5)
    changed = rebuilt.clone()
    changed[0, 8:12, 8:12] = 1.0
    detailed = with_details(source, changed[None], rebuilt=rebuilt)[0]
    assert torch.allclose(detailed[0, :5, :5], source[0, :5, :5])
    assert torch.equal(detailed[0, 9:11, 9:11], changed[0, 9:11, 9:11])


def test_the_origin_makes_the_source(space: ImageSpace) -> None:
    source = torch.rand(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(space.decode(space.origin[None]), space.origin[None])
    vae = lt.load_generator("zoo:digits")
    image = torch.nn.functional.interpolate(source, size=32)
    latents = LatentSpace(vae, image, rng=torch.Generator().manual_seed(0))
    assert torch.allclose(latents.decode(latents.origin[None]), image, atol=1e-6)
    assert not torch.allclose(vae(latents.origin[None]), image, atol=0.1)


def noise_of(size: int, **options: float) -> _Noise:
    class Far:
        shape, sigma_max = (1, size, size), 80.0

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x

    return _Noise(ImageSpace(Far(), torch.zeros(1, size, size), **options), target_margin=4.0)


def test_where_the_first_generations_lead_nowhere_more_noise_is_tried_once() -> None:
    noise = noise_of(128)
    first = noise.level
    assert first == pytest.approx(2.0)  # 8 on 32 pixels a side
    assert noise.after(torch.tensor([-9.0, -8.0])) == "from here"
    assert noise.level < first
    assert noise.after(torch.tensor([-9.0, -7.9])) == "from the source"
    assert noise.level == pytest.approx(8.0)
    went = [noise.after(torch.tensor([-9.0, -7.9])) for _ in range(6)]
    assert went == ["from here"] * 5 + ["from the best"]


def test_where_they_lead_somewhere_noise_falls_and_begins_anew_round_the_best() -> None:
    noise = noise_of(128)
    levels, went = [noise.level], []
    for generation in range(6):
        went.append(noise.after(torch.tensor([-9.0 + generation])))
        levels.append(noise.level)
    assert went == ["from here"] * 5 + ["from the best"]
    assert levels[:6] == sorted(levels[:6], reverse=True)
    assert levels[6] == levels[1]


@pytest.mark.parametrize(("size", "options"), [(32, {}), (128, {"noise": 2.0})])
def test_there_is_no_more_noise_than_was_asked_for_or_than_small_pictures_need(size: int, options: Any) -> None:
    noise = noise_of(size, **options)
    went = [noise.after(torch.tensor([-9.0, -8.0])) for _ in range(4)]
    assert went == ["from here"] * 4


def test_the_probability_told_is_that_of_what_is_shown() -> None:
    p = torch.tensor([[0.9, 0.1], [0.15, 0.85], [0.11, 0.89]])
    archive = SimpleNamespace(
        probabilities=p,
        target=1,
        source_class=0,
        measure=None,
        margins=(p[:, 1] / p[:, 0]).log(),
        found=[1],  # the nearer; the likelier is not shown
        at_query=[1, 2, 3],
        distances=torch.tensor([0.0, 0.1, 0.2]),
    )
    told = status_of(archive, reason=Reason.BUDGET, error="", n=1, confidence=0.98)  # type: ignore[arg-type]
    assert "probability 0.85; 0.98 was asked for" in told.advice


class Weighed:
    """Stands where an archive stands: the margin is a weighed sum of the pieces that stay."""

    def __init__(self, weights: list[float], *, unreal: list[float] | None = None) -> None:
        self.weights, self.rows = torch.tensor(weights, dtype=torch.float64), torch.zeros(0, len(weights))
        self.unreal, self.reals = unreal, torch.zeros(0, dtype=torch.bool)

    def ask(self, stays: torch.Tensor) -> torch.Tensor:
        self.rows = torch.cat([self.rows, stays])
        self.reals = torch.tensor([row != self.unreal for row in self.rows.tolist()])
        return stays.double() @ self.weights


def test_pieces_go_back_in_the_order_of_margin_lost_for_distance_won() -> None:
    # Margins 4, .1, 2, .2 and .25 over distances 1, 1, 1, 1 and 3: 6.55 in all, and 6.15 must stay: .4 may go.
    # A unit of the fifth loses .083, of the second .1, of the fourth .2: fifth and second go (.35), the fourth not.
    archive = Weighed([4.0, 0.1, 2.0, 0.2, 0.25])
    components = Components(sizes=torch.tensor([1.0, 1.0, 1.0, 1.0, 3.0]), compose=lambda stays: stays)
    revert(archive, components, 6.55, target_margin=6.15)  # type: ignore[arg-type]
    enough = archive.rows[archive.rows.double() @ archive.weights >= 6.15 - 1e-6]
    distances = (enough * components.sizes).sum(1)
    assert enough[distances.argmin()].tolist() == [1.0, 0.0, 1.0, 1.0, 0.0]
    assert len(archive.rows) <= 5 + 3  # each alone, then halving


def test_what_is_not_real_is_no_reason_to_take_more_back() -> None:
    # The same pieces and order; 5.9 is enough, so that three may go, but no such row is real.
    archive = Weighed([4.0, 0.1, 2.0, 0.2, 0.25], unreal=[1.0, 0.0, 1.0, 0.0, 0.0])
    components = Components(sizes=torch.tensor([1.0, 1.0, 1.0, 1.0, 3.0]), compose=lambda stays: stays)
    revert(archive, components, 6.55, target_margin=5.9)  # type: ignore[arg-type]
    assert archive.rows[5:].sum(1).tolist() == [2.0, 4.0, 3.0]  # three go: not real; one; two


def test_where_gradients_flow_the_sources_latent_is_found_by_them() -> None:
    weights = torch.randn(24, 64, generator=torch.Generator().manual_seed(0)) / 5
    latents = 0.8 * torch.randn(1, 24, generator=torch.Generator().manual_seed(1))

    def decoder(latents: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(latents @ weights).reshape(-1, 1, 8, 8)

    class OneWay(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, latents: torch.Tensor) -> torch.Tensor:
            return decoder(latents)

    source = decoder(latents)
    with_gradients, without, broken = (
        LatentSpace(lt.load_generator(function, latent_dim=24), source, rng=torch.Generator().manual_seed(2))
        for function in (decoder, lambda latents: decoder(latents).detach(), OneWay.apply)
    )
    assert float((with_gradients.rebuilt - source[0]).abs().mean()) < 0.01  # type: ignore[operator]
    assert float((without.rebuilt - source[0]).abs().mean()) > 0.02  # type: ignore[operator]
    assert broken.rebuilt is not None  # it cannot say which way is down, and that is no error


@pytest.mark.parametrize(
    ("largest", "target_margin"),
    [(5.0, 4.0), (-1.0, 4.0), (-math.inf, 4.0), (2.0, _MOST * 2), (0.5, _MOST * 0.5)],
)
def test_the_margin_that_is_within_reach(largest: float, target_margin: float) -> None:
    assert _within_reach(largest, 4.0) == pytest.approx(target_margin)


def test_noise_that_proves_a_find_grows_with_the_shorter_side() -> None:
    class Far:
        shape, sigma_max = (1, 96, 64), 80.0

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x

    assert ImageSpace(Far(), torch.zeros(1, 96, 64))._settling == pytest.approx(1.0)  # .5 at 32 pixels
    assert ImageSpace(Far(), torch.zeros(1, 64, 96))._settling == pytest.approx(1.0)


def test_the_drawing_is_of_the_phases_that_run() -> None:
    page = (Path(__file__).parents[2] / "docs" / "freemcg.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:4] for line in page.splitlines() if re.match(r"\| [a-z ]+ \| \d+ % \|", line)]
    drawn = [(name.strip(), until.strip(), most.strip()) for name, until, most in rows]
    run = [
        (phase.name, f"{phase.until:.0%}", f"{phase.may_spend:.0%}") for phase in (*search.ON_PIXELS, *search.ON_ROWS)
    ]
    assert drawn == [(name, until.replace("%", " %"), most.replace("%", " %")) for name, until, most in run]
    shares = [f"{share:.0%}".rstrip("%") for share in (REACH.extrapolate_after, REACH.accept_any_after)]
    assert all(share in page.split("```")[1].splitlines()[1].split() for share in shares)


def test_what_comes_last_keeps_its_queries(space: ImageSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int | None, int]] = []

    def watched(name: str) -> Any:
        def step(space: Any, archive: Archive, plan: Plan, until: int, *, rng: torch.Generator) -> None:
            seen.append((name, archive.until, until))

        return step

    phases = tuple(replace(phase, step=watched(phase.name)) for phase in search.ON_PIXELS)
    monkeypatch.setattr(search, "ON_PIXELS", phases)
    archive = asked(space, bright())
    bring_nearer(space, archive, Plan(n_particles=4, target_margin=4.0, asked=100, budget=50), rng=torch.Generator())
    assert seen == [
        ("approach", 145, 130),
        ("line", 145, 145),
        ("peel", 145, 145),
        ("revert", 145, 145),
        ("confirm", 150, 150),
    ]
