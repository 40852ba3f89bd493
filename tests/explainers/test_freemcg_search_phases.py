"""Each phase of FreeMCG's search on rows of numbers, where the model is linear and every answer can be reckoned."""

import math
from typing import Any

import pytest
import torch
from asked import Budgeted, archive_of
from torch import Tensor

from likethat.explainers.freemcg import search
from likethat.explainers.freemcg.components import Components
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.search import Plan, reach


class Linear(Budgeted):
    """Two classes; the second leads by a weighed sum of the columns less a threshold."""

    def __init__(self, weights: list[float], threshold: float, *, budget: int | None = None) -> None:
        super().__init__(budget)
        self.weights, self.threshold = torch.tensor(weights), threshold
        self.batches: list[Tensor] = []

    def __call__(self, inputs: Tensor) -> Tensor:
        self.batches.append(inputs)
        self.queries += len(inputs)
        lead = (inputs @ self.weights).double() - self.threshold
        return torch.stack([torch.sigmoid(-lead), torch.sigmoid(lead)], 1)


class Rows:
    """Rows of numbers round an origin; a point is the row itself, unless it says how it is decoded."""

    levels, wider, near, exact, is_table = (1.0, 0.5), (1.0, 0.5), 0.4, False, True

    def __init__(self, origin: list[float], *, typical: Tensor | None = None) -> None:
        self.origin, self.typical = torch.tensor(origin), typical
        self.perturbed: list[tuple[Tensor, float]] = []
        self.offsets = torch.tensor([-1.0, 1.0])  # of particles along the first column, in turn

    def perturb(self, points: Tensor, level: float, *, rng: torch.Generator) -> Tensor:
        self.perturbed.append((points.clone(), level))
        moved = points.clone()
        moved[:, 0] += level * self.offsets.repeat(len(points))[: len(points)]
        return moved

    def decode(self, points: Tensor) -> Tensor:
        return points.clone()

    def anywhere(self, n: int, *, rng: torch.Generator) -> Tensor | None:
        return None if self.typical is None else self.typical[:n]

    def distance(self, inputs: Tensor) -> Tensor:
        return (inputs - self.origin).abs().mean(1)

    def cost(self, inputs: Tensor) -> Tensor:
        return (inputs != self.origin).sum(1) + self.distance(inputs) / 100

    def components(self, changed: Tensor, round_number: int) -> Components | None:
        change = changed[0] - self.origin
        return Components(sizes=change.abs(), compose=lambda stay: self.origin + stay * change)

    def revert_least_changed(self, changed: Tensor, share: float) -> Tensor:
        return self.origin + (1 - share) * (changed - self.origin)


def archive_for(space: Rows, box: Linear, **options: Any) -> Archive:
    return archive_of(
        box,  # type: ignore[arg-type]
        distance=space.distance,
        cost=space.cost,
        dissimilarity=lambda x, other: torch.ones(len(x)),
        **options,
    )


def run(step: Any, space: Rows, archive: Archive, plan: Plan, *, until: int = 10_000) -> list[Tensor]:
    """Run a phase; return the batches that it asked for."""
    first = len(archive.box.batches)  # type: ignore[attr-defined]
    step(space, archive, plan, until, rng=torch.Generator().manual_seed(0))
    return archive.box.batches[first:]  # type: ignore[attr-defined,no-any-return]


def begun(
    weights: list[float], threshold: float, rows: list[list[float]], *, points: bool = True, **options: Any
) -> tuple[Rows, Archive]:
    space, asked = Rows([0.0] * len(weights)), torch.tensor(rows)
    archive = archive_for(space, Linear(weights, threshold, **options))
    archive.ask(asked, asked if points else None)
    return space, archive


PLAN = Plan(n_particles=2, target_margin=1.0, budget=100)


def test_the_line_to_the_source_is_asked_at_six_places_at_once() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[2.0, 1.0]])
    (batch,) = run(search._along_the_line, space, archive, PLAN)
    shares = torch.tensor([0.4, 0.51, 0.62, 0.73, 0.84, 0.95])
    assert torch.allclose(batch, shares[:, None] * torch.tensor([2.0, 1.0]))
    assert space.perturbed == []
    assert archive.nearest(1.0) == 2  # 2 * .51 = 1.02 is the first that is enough; .4 gives .8
    space.exact = True
    run(search._along_the_line, space, archive, PLAN)
    assert space.perturbed[0][1] == pytest.approx(0.4 / 6)
    nothing = begun([1.0, 0.0], 0.0, [[2.0, 1.0]], points=False)
    assert run(search._along_the_line, *nothing, PLAN) == []


def test_an_approach_begins_a_quarter_nearer_each_time() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[4.0, 0.0]])
    batches = run(search._approach, space, archive, Plan(n_particles=2, target_margin=1.0, n_generations=2))
    assert [len(batch) for batch in batches] == [2, 1, 2, 1]  # the particles; of those moved the nearer half
    (first, level), (settled, less), (second, later) = space.perturbed[:3]
    assert torch.equal(first, torch.tensor([[3.0, 0.0], [3.0, 0.0]]))
    assert level == pytest.approx(0.4)
    assert less == pytest.approx(0.3 * level)
    assert later == pytest.approx(0.9 * level)
    # Margins 2.6 and 3.4 of 1.5 wanted: both go back, by two standard deviations (.8) at most and 1 in 1.1 of that.
    assert settled[:, 0].tolist() == pytest.approx([2.6 - 0.8 / 1.1, 3.4 - 0.8 / 1.1], abs=1e-4)
    nearest = float(archive.input(int(archive.nearest(1.0) or 0))[0, 0])
    assert float(second[0, 0]) <= 0.75 * 2.6
    assert nearest < 2.6


def test_an_approach_ends_with_its_queries() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[4.0, 0.0]])
    assert run(search._approach, space, archive, PLAN, until=1) == []
    space, archive = begun([1.0, 0.0], 0.0, [[4.0, 0.0]], budget=2)
    assert [len(batch) for batch in run(search._approach, space, archive, PLAN)] == [1]  # one particle of two: no more


def test_halving_finds_the_share_that_can_go_back() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[4.0, 0.0]])
    batches = run(search._peel, space, archive, PLAN)
    # A share s leaves 4 (1 - s), and 1 is wanted: up to .75 may go. Halves: .5 yes, .75 yes, .875 no, ...
    assert [float(batch[0, 0]) for batch in batches] == [2.0, 1.0, 0.5, 0.75, 0.875]
    assert float(archive.input(int(archive.nearest(1.0) or 0))[0, 0]) == 1.0


def test_single_columns_are_asked_alone_and_then_the_strongest_together() -> None:
    space, archive = begun([1.0, 3.0, 2.0, 0.0, 0.5], 0.0, [[1.0, 1.0, 1.0, 0.0, 1.0]])
    alone, together = run(search._single_columns, space, archive, PLAN)
    assert alone.tolist() == [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    assert together.tolist() == [[0, 1, 1, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 0, 1]]
    assert run(search._single_columns, *begun([1.0], 0.0, [[2.0]], budget=1), PLAN) == []
    assert run(search._single_columns, *begun([1.0, 1.0], 0.0, [[2.0, 1.0]]), PLAN, until=1) == []
    space, archive = begun([1.0, 1.0], 0.0, [[2.0, 1.0]], budget=2)
    assert [len(batch) for batch in run(search._single_columns, space, archive, PLAN)] == [1]


def test_of_the_surest_rows_three_are_cut() -> None:
    rows = [[value, value / 2] for value in (2.0, 3.0, 4.0, 5.0)]
    batches = run(search._single_columns, *begun([1.0, 1.0], 0.0, rows), PLAN)
    assert [batch[0].tolist() for batch in batches[::2]] == [[5.0, 0.0], [4.0, 0.0], [3.0, 0.0]]


def test_all_columns_are_shortened_together_and_then_the_largest_change_first() -> None:
    space, archive = begun([2.0, 1.0], 0.0, [[4.0, 1.0]])
    batches = run(search._shorten_columns, space, archive, PLAN)
    shares = torch.tensor([0.8, 0.6, 0.4, 0.25, 0.15])
    assert torch.allclose(batches[0], shares[:, None] * torch.tensor([4.0, 1.0]))
    assert batches[1][0].tolist() == pytest.approx([0.0, 0.15])  # from the least that is enough: 1.2 + .15
    # 2 x + y >= 1 from (.5, .1): .8 of it is too little. x is the larger change: at least .4 / .45 of it must stay.
    batches = run(search._shorten_columns, *begun([2.0, 1.0], 0.0, [[0.5, 0.1]]), PLAN)
    assert [float(batch[0, 0]) / 0.5 for batch in batches[1:7]] == [0.0, 0.5, 0.75, 0.875, 0.9375, 0.90625]
    batches = run(search._shorten_columns, *begun([1.0, 0.0], 0.0, [[1.1, 1.0]]), PLAN)
    # x must stay at 1 of 1.1, .9375 of it by halves; then y goes wholly.
    assert batches[-1][0].tolist() == pytest.approx([0.9375 * 1.1, 0.0])
    assert len(batches) == 8
    assert len(run(search._shorten_columns, *begun([2.0, 1.0], 0.0, [[4.0, 1.0]]), PLAN, until=3)) == 2


def test_what_could_not_be_real_is_not_shortened_to() -> None:
    space, archive = begun([2.0, 1.0], 0.0, [[4.0, 1.0]])
    archive.plausible = lambda rows: rows[:, 0] >= 2  # type: ignore[index]
    batches = run(search._shorten_columns, space, archive, PLAN)
    tried = [float(batch[0, 0]) / 2.4 for batch in batches[1:7]]  # .6 of it, 2.4, is the least of the shares
    assert tried == pytest.approx([0.0, 0.5, 0.75, 0.875, 0.8125, 0.84375])
    assert batches[7][0].tolist() == pytest.approx([2.025, 0.0])


def test_what_answers_let_expect_is_asked_while_there_is_something() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[4.0, 0.0]])
    said: list[int] = []

    def likely(of: Archive, target_margin: float, *, n: int, rng: torch.Generator) -> Tensor | None:
        said.append(len(of.distances))
        assert target_margin == 1.0
        return None if len(said) > 2 else torch.full((n, 2), float(len(said)))

    space.likely = likely  # type: ignore[attr-defined]
    batches = run(search._likely_rows, space, archive, PLAN)
    assert [len(batch) for batch in batches] == [6, 6]
    assert said == [1, 7, 13]  # it has the answers of the round before
    said.clear()
    assert run(search._likely_rows, space, archive, PLAN, until=1) == []
    assert said == []


def test_of_rows_made_anywhere_the_nearest_twenty_are_asked_and_three_are_cut() -> None:
    typical = torch.tensor([[float(value), 1.0] for value in range(30, 0, -1)])
    space = Rows([0.0, 0.0], typical=typical)
    archive = archive_for(space, Linear([1.0, 0.0], 9.0))
    first, *others = run(search._near_rows, space, archive, PLAN)
    assert first[:, 0].tolist() == [float(value) for value in range(1, 21)]  # the nearest of thirty
    assert archive.points[3] is not None
    cut = [batch for batch in others if len(batch) == 2]
    assert [float(batch[1, 0]) for batch in cut] == [10.0, 11.0, 12.0]  # 10 leads by 1: each has two columns to cut
    assert run(search._near_rows, Rows([0.0]), archive, PLAN) == []
    archive = archive_for(space, Linear([1.0, 0.0], 9.0))
    assert len(run(search._near_rows, space, archive, PLAN, until=20)) == 1


def test_the_surest_particles_give_back_first() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[2.0, 3.0]])
    batches = run(search._fewest_columns, space, archive, PLAN)
    assert space.perturbed[0][1] == space.near
    assert batches[0][:, 0].tolist() == pytest.approx([1.6, 2.4])
    # Three are wanted: 1.4 and .6 are lacking, of which two standard deviations (.8) and the ridge leave .73 and .55.
    assert batches[1][:, 0].tolist() == pytest.approx([1.6 + 0.8 / 1.1, 2.4 + 0.6 / 1.1], abs=1e-4)
    surest = float(batches[1][:, 0].max())
    assert [float(value) for value in batches[2][:, 0]] == pytest.approx([0.0, surest], abs=1e-5)  # each column alone
    assert archive.nearest(1.0) is not None
    assert float(archive.costs[archive.nearest(1.0) or 0]) < 2  # the second column is given back
    few, known = begun([1.0, 0.0], 0.0, [[2.0, 3.0]], budget=2)
    assert [len(batch) for batch in run(search._fewest_columns, few, known, PLAN)] == [1]
    late = begun([1.0, 0.0], 0.0, [[2.0, 3.0], [3.0, 3.0]])
    assert len([batch for batch in run(search._fewest_columns, *late, PLAN, until=2) if len(batch) == 2]) == 3


def test_the_rest_is_halved_four_times_at_most() -> None:
    space, archive = begun([1.0, 1.0], 0.0, [[1.0, 1.0]])
    batches = run(search._halve_columns, space, archive, PLAN)
    assert torch.allclose(batches[0], torch.tensor([[0.6, 1.0], [1.0, 0.6]]))
    assert torch.allclose(batches[2], torch.tensor([[0.6, 0.6]]))  # by halving: one of two, then both
    assert sum(len(batch) == 2 for batch in batches) == 4
    spent, known = begun([1.0, 1.0], 0.0, [[1.0, 1.0]], budget=1)
    assert run(search._halve_columns, spent, known, PLAN) == []


def test_a_change_is_cut_finer_each_time_until_its_queries_are_spent() -> None:
    space, archive = begun([1.0, 0.0], 0.0, [[4.0, 1.0]])
    rounds: list[int] = []
    whole = space.components

    def counted(changed: Tensor, round_number: int) -> Components | None:
        rounds.append(round_number)
        return whole(changed, round_number)

    space.components = counted  # type: ignore[method-assign]
    run(search._revert_components, space, archive, PLAN)
    assert rounds == [0, 1, 2]
    rounds.clear()
    assert run(search._revert_components, space, archive, PLAN, until=0) == []


def test_typical_inputs_are_asked_once_and_only_where_nothing_near_serves() -> None:
    space = Rows([0.0], typical=torch.arange(100.0)[:, None])
    archive = archive_for(space, Linear([1.0], 50.0))
    archive.ask(torch.zeros(1, 1))
    search._look_anywhere(space, archive, rng=torch.Generator())  # type: ignore[arg-type]
    search._look_anywhere(space, archive, rng=torch.Generator())  # type: ignore[arg-type]
    assert archive.n_typical == 24
    assert archive.box.queries == 25
    served = archive_for(space, Linear([1.0], -1.0))
    served.ask(torch.zeros(1, 1))
    search._look_anywhere(space, served, rng=torch.Generator())  # type: ignore[arg-type]
    assert served.box.queries == 1


def test_particles_that_lead_are_followed() -> None:
    moved, margins = torch.arange(3.0)[:, None], torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    drawn = torch.cat([search._followed(moved, margins, torch.Generator().manual_seed(n)) for n in range(400)])
    counts = torch.bincount(drawn.flatten().long(), minlength=3).double()
    # A standard deviation of 1 between neighbours: e times as often each.
    assert (counts / counts.sum()).tolist() == pytest.approx([0.0900, 0.2447, 0.6652], abs=0.04)


class Constant(Linear):
    def __call__(self, inputs: Tensor) -> Tensor:
        self.queries += len(inputs)
        return torch.tensor([[0.9, 0.1]], dtype=torch.float64).repeat(len(inputs), 1)


def test_a_search_that_learns_nothing_gives_up_after_three_generations() -> None:
    space = Rows([0.0])
    space.levels = space.wider = (1.0, 0.8, 0.6, 0.4)  # type: ignore[assignment]
    archive = archive_for(space, Constant([0.0], 1.0))
    assert reach(space, archive, PLAN, rng=torch.Generator().manual_seed(0)) == "collapsed"  # type: ignore[arg-type]
    assert archive.box.queries == 3 * PLAN.n_particles
    assert all(float(points.abs().max()) == 0 for points, _ in space.perturbed)  # from the source each time


@pytest.mark.parametrize(
    ("n_generations", "budget", "reason", "queries"), [(3, 1000, "no progress", 6), (50, 5, "budget", 5)]
)
def test_why_a_search_ends(n_generations: int, budget: int, reason: str, queries: int) -> None:
    space = Rows([0.0])
    archive = archive_for(space, Linear([0.001], 9.0, budget=budget))
    plan = Plan(n_particles=2, target_margin=1.0, budget=budget, n_generations=n_generations)
    assert reach(space, archive, plan, rng=torch.Generator().manual_seed(0)) == reason  # type: ignore[arg-type]
    assert archive.box.queries == queries


def test_a_search_moves_all_by_what_each_lacks_and_draws_them_to_the_source() -> None:
    space = Rows([0.0])
    archive = archive_for(space, Linear([1.0], 3.0))
    assert (
        reach(space, archive, Plan(n_particles=2, target_margin=1.0, budget=100), rng=torch.Generator().manual_seed(0))
        == "reached"
    )  # type: ignore[arg-type]
    (start, first), (centres, second) = space.perturbed[:2]
    assert (float(start.abs().max()), first, second) == (0.0, 1.0, 0.5)
    # Margins -4 and -2 of 1.5 wanted: two standard deviations are 2, of which the ridge leaves 1 / 1.1, and nine
    # tenths stay.
    moved = [0.9 * (-1 + 2 / 1.1), 0.9 * (1 + 2 / 1.1)]
    assert all(any(abs(value - one) < 1e-4 for one in moved) for value in centres.flatten().tolist())


def test_a_plan_counts_from_what_was_asked_before() -> None:
    plan = Plan(n_particles=2, target_margin=1.0, asked=100, budget=50)
    assert [plan.until(share) for share in (0.0, 0.5, 0.9, 1.0)] == [100, 125, 145, 150]


@pytest.mark.parametrize(
    ("margins", "asked_first", "share", "expected"),
    [
        ([-3.0, -2.0], 0, 0.1, None),
        ([0.5, -2.0], 0, 0.1, None),  # on the right side, and early
        ([0.5, -2.0], 0, 0.6, "budget"),  # late: it will do
        ([1.5, -2.0], 0, 0.1, "reached"),
        ([1.0, -2.0], 0, 0.1, "reached"),
        ([1.5, -2.0], 2, 0.1, None),  # found by a search before this one
        ([-3.0], 0, 0.1, "budget"),  # a particle was not answered
    ],
)
def test_when_a_search_is_over(margins: list[float], asked_first: int, share: float, expected: str | None) -> None:
    space = Rows([0.0])
    archive = archive_for(space, Linear([1.0], 0.0))
    points = torch.tensor(margins)[:, None]
    found = archive.ask(points, points)
    plan = Plan(n_particles=2, target_margin=1.0, budget=round(len(margins) / share))
    assert search._ended(space, archive, plan, points, found, asked_first) == expected  # type: ignore[arg-type]


def test_noise_is_not_widened_where_the_best_comes_nearer_or_serves() -> None:
    class Far(Rows):
        levels, wider = (1.0, 0.8, 0.6, 0.4), (9.0, 5.0, 2.0, 1.0)

    def went(*largest: float) -> list[str]:
        noise = search._Noise(Far([0.0]), 4.0)  # type: ignore[arg-type]
        return [noise.after(torch.tensor([value - 1, value])) for value in largest]

    assert went(-8.0, -7.6) == ["from here", "from the source"]  # 12 are lacking: .04 of it are .48
    assert went(-8.0, -7.5) == ["from here", "from here"]
    assert went(-8.0, -7.5, -7.2) == ["from here", "from here", "from the source"]
    assert went(-8.0, -7.0, -6.0, -5.9) == ["from here", "from here", "from here", "from the best"]
    assert went(0.5, 0.5) == ["from here", "from here"]  # on the right side
    assert math.isinf(search._Noise(Far([0.0]), 4.0)._before)  # type: ignore[arg-type]


def test_particles_with_a_larger_margin_are_drawn_more_often_e_times_a_deviation() -> None:
    n = 20_000
    margins = torch.tensor([0.0, 20.0], dtype=torch.float64).repeat(n // 2)  # 10 is their deviation
    moved = margins.float()[:, None]
    drawn = search._followed(moved, margins, torch.Generator().manual_seed(0))
    assert float((drawn == 0).float().mean()) == pytest.approx(1 / (1 + math.e**2), abs=0.01)
