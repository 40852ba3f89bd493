"""EPIC's solvers beside twins in loops, and what decides where patches say nothing."""

from pathlib import Path

import pytest
import torch
from reference import epic as reference
from toys import features_of

from likethat._checkpoint import Checkpoint
from likethat._progress import Progress
from likethat.features import Features
from likethat.fitting.rotation import PAPER_SCHEDULE, AdamSolver, Schedule, _second_moment, _usage, fit_procrustes


def random_features(n: int = 40, n_channels: int = 5, seed: int = 0) -> Features:
    rng = torch.Generator().manual_seed(seed)
    return features_of(torch.rand(n, n_channels, 4, generator=rng) - 0.2)


def test_schedules_fall_linearly_and_need_three_images_a_prototype() -> None:
    assert Schedule(first=10, last=2, rounds=5).counts() == [10, 8, 6, 4, 2]
    assert Schedule(first=10, last=2, rounds=1).counts() == [10]
    assert Schedule(first=10, last=2, rounds=2).counts() == [10, 2]
    schedule = Schedule(first=10, last=4, rounds=3)
    assert schedule.for_images(30) == schedule
    assert schedule.for_images(29) == Schedule(first=9, last=4, rounds=3)
    assert schedule.for_images(11) == Schedule(first=3, last=3, rounds=3)
    assert schedule.for_images(2) == Schedule(first=1, last=1, rounds=3)


def test_the_papers_schedule_is_the_papers() -> None:
    assert Schedule(first=100, last=5, rounds=10) == PAPER_SCHEDULE  # section 3: "from 100 to 5", anew every 2 of 20


@pytest.mark.parametrize(("shrinkage", "counts"), [(0.0, [6]), (0.0, [9, 7, 5]), (0.3, [9, 5])], ids=str)
def test_procrustes_is_its_twin(shrinkage: float, counts: list[int]) -> None:
    features = random_features()
    schedule = Schedule(first=counts[0], last=counts[-1], rounds=len(counts))
    drawn = {"shrinkage": shrinkage} if shrinkage else {}  # the patches alone, where nothing is said
    found = fit_procrustes(features, schedule, **drawn)
    twin = reference.procrustes(features.maps, counts, shrinkage=shrinkage)
    assert torch.allclose(found.double(), twin, atol=1e-3)
    assert torch.allclose(found @ found.T, torch.eye(5), atol=1e-5)


def test_procrustes_with_use_is_its_twin() -> None:
    features = random_features()
    head = torch.rand(3, 5, generator=torch.Generator().manual_seed(1)) + 0.1
    features.predicted = torch.arange(40) % 3
    weigh = {"head_weight": head, "usage_weight": 0.5}
    found = fit_procrustes(features, Schedule(first=6, last=6, rounds=1), shrinkage=0.3, **weigh)  # type: ignore[arg-type]
    use = reference.use(features.maps, features.predicted.tolist(), head)
    twin = reference.procrustes(features.maps, [6], shrinkage=0.3, weights=use.sqrt())
    assert torch.allclose(found.double(), twin, atol=1e-3)
    plain = fit_procrustes(features, Schedule(first=6, last=6, rounds=1), shrinkage=0.3)
    assert not torch.allclose(found, plain, atol=1e-2)
    for without in ({"head_weight": head}, {"usage_weight": 0.5}):  # one alone changes nothing
        assert torch.equal(
            plain, fit_procrustes(features, Schedule(first=6, last=6, rounds=1), shrinkage=0.3, **without)  # type: ignore[arg-type]
        )  # fmt: skip


def test_use_is_its_twin_and_a_dead_channel_hides_no_difference_between_the_others() -> None:
    features = random_features()
    features.predicted = torch.arange(40) % 2
    head, mixing = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 1.0, 1.0, 1.0, 0.5]]), torch.eye(5)
    found = _usage(features.means, features.predicted, mixing, head)
    torch.testing.assert_close(found.double(), reference.use(features.maps, features.predicted.tolist(), head),
                               rtol=1e-5, atol=1e-6)  # fmt: skip
    assert float(found.log().mean()) == pytest.approx(0, abs=1e-5)
    features.means[:, 2] = 0
    found = _usage(features.means, features.predicted, mixing, head)
    assert bool(found.isfinite().all())
    assert found.argmin() == 2
    # Its use counts as a millionth of the largest, so the logs spread by ln(10^6) times 2 / 5 or so, not without end.
    assert float(found[[0, 1, 3, 4]].std()) > 0.01


def test_channels_that_are_used_alike_weigh_alike() -> None:
    means = torch.ones(4, 3) + 1e-6 * torch.arange(3)
    found = _usage(means, torch.zeros(4, dtype=torch.long), torch.eye(3), torch.ones(1, 3))
    assert found.tolist() == pytest.approx([1.0, 1.0, 1.0], abs=5e-3)  # not 1 in standard scores of rounding
    apart = _usage(
        means * torch.tensor([1.0, 1.01, 1.02]), torch.zeros(4, dtype=torch.long), torch.eye(3), torch.ones(1, 3)
    )
    assert float(apart.log().std(correction=0)) == pytest.approx(1, abs=1e-2)


def test_channels_that_choose_nothing_stay_as_they_are() -> None:
    features = random_features()
    features.maps[:, 1] = 0
    features.means[:, 1] = 0
    found = fit_procrustes(features, Schedule(first=9, last=5, rounds=3))
    assert found[1].tolist() == pytest.approx([0, 1, 0, 0, 0], abs=1e-4)
    assert found[:, 1].tolist() == pytest.approx([0, 1, 0, 0, 0], abs=1e-4)


def test_the_second_moment_by_hand() -> None:
    maps = torch.tensor([[[1.0, 0.0], [2.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]], [[0.0, 2.0], [0.0, 0.0]]])
    for block in (1, 2):
        # The cells of the first and third map are (1, 2), (0, 0), (0, 0) and (2, 0).
        found = _second_moment(maps, torch.tensor([0, 2]), block=block)
        assert found.tolist() == [[5 / 4, 2 / 4], [2 / 4, 4 / 4]]


def test_whitened_channels_are_rotated_after_they_are_whitened() -> None:
    features = random_features(60)
    features.maps[:, 0] *= 10
    features.means[:, 0] *= 10
    mixing = fit_procrustes(features, Schedule(first=9, last=5, rounds=2), condition=4.0)
    values = torch.linalg.svdvals(mixing)
    assert float(values[0] / values[-1]) == pytest.approx(4, rel=1e-3)
    same = fit_procrustes(features, Schedule(first=9, last=5, rounds=2), condition=1.0)
    assert torch.equal(same, fit_procrustes(features, Schedule(first=9, last=5, rounds=2)))
    assert torch.allclose(torch.linalg.svdvals(same), torch.ones(5), atol=1e-5)


def test_every_round_is_said() -> None:
    seen: list[Progress] = []
    fit_procrustes(random_features(), Schedule(first=9, last=5, rounds=3), watch=seen.append)
    assert [(one.done, one.total) for one in seen] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("orthogonal", [True, False])
def test_adam_is_its_twin(orthogonal: bool) -> None:
    features = random_features(n=24, n_channels=4)
    solver = AdamSolver(orthogonal=orthogonal, epochs=4, learning_rate=0.05, weight_decay=0.01, batch=7, seed=3)
    found = solver.fit(features, Schedule(first=6, last=4, rounds=2), among=torch.arange(1, 24))
    twin = reference.adam(
        features.maps[1:], [6, 6, 4, 4], orthogonal=orthogonal, rate=0.05, decay=0.01, batch=7, seed=3
    )
    assert torch.allclose(found.double(), twin, atol=1e-3)


def test_adam_chooses_anew_as_often_as_its_schedule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, choose = [], AdamSolver._choose

    def noted(self: AdamSolver, *given: object) -> object:
        counts.append(given[-1])
        return choose(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(AdamSolver, "_choose", noted)
    seen: list[Progress] = []
    solver = AdamSolver(orthogonal=True, epochs=7, learning_rate=0.01, weight_decay=0.0, batch=64, seed=0)
    solver.fit(random_features(), Schedule(first=9, last=5, rounds=3), watch=seen.append)
    assert counts == [9, 7, 5]  # in the first epoch, the fourth and the sixth
    assert [(one.done, one.total) for one in seen] == [(epoch, 7) for epoch in range(1, 8)]


def test_adam_goes_on_from_what_it_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoint, "is_due", lambda _: True)
    features, schedule = random_features(), Schedule(first=9, last=5, rounds=3)
    solver = AdamSolver(orthogonal=True, epochs=7, learning_rate=0.05, weight_decay=0.01, batch=16, seed=2)
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if progress.done == 4:
            raise KeyboardInterrupt

    left = Checkpoint(tmp_path / "left", key={"n": 1}, resume=False, every=5.0)
    with pytest.raises(KeyboardInterrupt), left:
        solver.fit(features, schedule, checkpoint=left, watch=stop)
    again = Checkpoint(tmp_path / "left", key={"n": 1}, resume=True, every=5.0)
    found = solver.fit(features, schedule, checkpoint=again, watch=seen.append)
    assert torch.equal(found, solver.fit(features, schedule))
    assert [one.done for one in seen] == [1, 2, 3, 4, 5, 6, 7]


def test_of_channels_that_are_never_used_all_weigh_alike() -> None:
    found = _usage(torch.zeros(4, 3), torch.zeros(4, dtype=torch.long), torch.eye(3), torch.ones(1, 3))
    assert found.tolist() == [1.0, 1.0, 1.0]
