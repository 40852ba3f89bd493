"""What is said of a direction, on rows whose states are known, beside the same worked out with loops."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from planted import features_of, planted
from torch import Tensor

from likethat._progress import Progress
from likethat.auditing import search as search_module
from likethat.auditing import shortcuts
from likethat.auditing.search import Direction, search, states_along, whitened
from likethat.auditing.shortcuts import _Checked, _Work, find_shortcuts, picture_of
from likethat.features import Features
from likethat.features.rows import priority
from likethat.models import Head

HEAD = Head(
    weight=torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0], [-0.5, -0.5, 0.0, 0.0]]),
    bias=torch.tensor([-2.0, -0.5, 0.5]),
)


def given(n: int = 150, **options: Any) -> tuple[Features, Tensor]:
    rows, labels, is_on = planted(n, **options)
    predicted = (rows.float() @ HEAD.weight.T + HEAD.bias).argmax(1)
    return features_of(rows.float(), labels, predicted), is_on


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Let a search climb a few steps: states so far apart are found by the first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_module, "_CLIMB", 5)
        yield


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def found(told: list[Progress], quick: None) -> list[Any]:
    return find_shortcuts(given()[0], HEAD, n=2, n_pictures=4, seed=3, fingerprint="f", watch=told.append)


def test_progress_counts_the_search_the_null_and_each_direction(told: list[Progress], found: list[Any]) -> None:
    assert [one.done for one in told][: len(found) + 2] == list(range(1, len(found) + 3))
    assert (told[-1].done, told[-1].total, told[-1].stage) == (4, 4, "looking for shortcuts")


def test_halves_are_every_second_of_each_class_in_a_drawn_order() -> None:
    features, _ = given(13)
    order = shortcuts._drawn(features, seed=3)
    assert order == sorted(range(13), key=lambda row: priority(14, 100 + row))
    halves = shortcuts._halves(order, features.labels)
    for label in range(3):
        own = [row for row in order if int(features.labels[row]) == label]
        assert [bool(halves[row]) for row in own] == [place % 2 == 1 for place in range(len(own))]


def work_of(features: Features, **options: Any) -> _Work:
    groups, rows = features.labels.clamp_min(0), torch.arange(len(features.labels))
    halves = shortcuts._halves(shortcuts._drawn(features, seed=3), groups)
    return _Work(
        **{"features": features, "head": HEAD, "groups": groups, "rows": rows, "halves": halves, "seed": 3, **options}
    )


def test_a_direction_is_measured_on_the_half_it_is_not_found_on() -> None:
    features, _ = given()
    work = work_of(features)
    white = whitened(features.pooled, features.labels, n_groups=3)
    direction = search(white, n=1, seed=3)[0]
    checked = shortcuts._check(direction, white, work.halves, seed=3)
    gains, spreads = torch.zeros(150, dtype=torch.float64), []
    for side in (True, False):
        mine = work.halves == side
        half = whitened(features.pooled[~mine], features.labels[~mine], n_groups=3)
        again = search(half, n=1, seed=3, begin=direction.reader[None])[0]
        states = states_along(again.reader, features.pooled[mine], features.labels[mine], n_groups=3)
        gains[mine] = states.gains[0]
        spreads.append(float(states.spread[0]))
    torch.testing.assert_close(checked.gains, gains, atol=1e-6, rtol=0)
    assert checked.spread == pytest.approx(sum(spreads) / 2)
    assert checked.score == pytest.approx(float(gains.mean()) * sum(spreads) / 2)
    assert bool(checked.is_same.all())  # so far apart nobody takes one for the other
    turned = Direction(reader=-direction.reader, written=-direction.written, states=direction.states)
    other = shortcuts._check(turned, white, work.halves, seed=3)
    assert not bool(other.is_same.any())  # states are told by the side on which they lie


def test_what_is_said_of_a_finding(found: list[Any]) -> None:
    features, is_on = given()
    first = found[0]
    assert [one.n_predictions for one in found] == sorted((one.n_predictions for one in found), reverse=True)
    best = max(found, key=lambda one: one.score)
    reading = features.pooled.numpy() @ best.reader
    assert np.array_equal(reading > best.cut[features.labels.numpy()], is_on.numpy())
    assert best.n_on == int(is_on.sum())
    assert best.share == pytest.approx(
        [float(is_on[features.labels == label].float().mean()) for label in range(3)], abs=0.03
    )
    assert best.agreement == 1
    assert best.score == pytest.approx(best.gain * float(best.share.max() - best.share.min()), rel=0.2)
    assert best.interval[0] < best.score < best.interval[1]
    assert best.separation > 5
    assert 0 <= best.null < 0.3 * best.score
    assert first.fingerprint == "f"
    assert {one.null for one in found} == {best.null}


def test_what_taking_it_out_does_is_counted_on_the_half_kept_back(found: list[Any]) -> None:
    features, is_on = given()
    work, best = work_of(features), max(found, key=lambda one: one.score)
    weight = HEAD.weight.double().numpy()
    reader, written = best.reader.astype(float), best.direction.astype(float)
    weight = weight - np.outer(weight @ written, reader) / (reader @ written)
    after = (features.pooled.numpy() @ weight.T + best.bias).argmax(1)
    assert best.n_predictions == int((after != features.predicted.numpy()).sum())
    for label in range(3):
        for state in range(2):
            cell = (work.halves & (features.labels == label) & (is_on == bool(state))).numpy()
            assert best.counts[label, state] == cell.sum()
            assert best.right_before[label, state] == (cell & (features.predicted.numpy() == label)).sum()
            assert best.right_after[label, state] == (cell & (after == label)).sum()
    other = (features.pooled[~work.halves].double().numpy() @ weight.T + best.bias).argmax(1)
    wanted = np.bincount(features.labels[~work.halves].numpy(), minlength=3)
    assert np.abs(np.bincount(other, minlength=3) - wanted).max() <= 1  # classes are as frequent as labels


def test_an_interval_is_the_bootstrap_of_the_mean_gain() -> None:
    gains = torch.arange(40, dtype=torch.float64) / 10
    checked = _Checked(gains=gains, spread=0.5, is_same=torch.ones(40, dtype=torch.bool))
    low, high = work_of(given(12)[0])._interval(checked)
    rng = torch.Generator().manual_seed(3)
    means = [float(gains[torch.randint(0, 40, (40,), generator=rng)].mean()) for _ in range(400)]
    assert (low, high) == pytest.approx(tuple(0.5 * np.quantile(means, [0.025, 0.975])))


def test_pictures_are_the_surest_of_their_state_class_by_class_in_turn() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 0, 1, 2])
    reading = torch.tensor([5.0, 4.0, 3.0, 2.5, 2.0, -1.0, 0.0, -3.0])  # of the seventh nothing is sure
    features = features_of(reading[:, None], labels)
    direction: Any = Direction(reader=torch.ones(1).double(), written=torch.ones(1).double(), states=None)  # type: ignore[arg-type]
    is_on = reading > 0
    shown = work_of(features)._pictures(direction, torch.zeros(3).double(), is_on, n=4)
    assert [one.index - 100 for one in shown] == [0, 2, 4, 1, 7, 5]  # the best of each class, then the second best
    assert [one.is_on for one in shown] == [True] * 4 + [False] * 2
    shown = work_of(features)._pictures(direction, torch.tensor([4.5, 0.0, 0.0]).double(), is_on, n=2)
    assert [one.index - 100 for one in shown] == [2, 4, 5, 7]  # each class has a cut of its own


def test_pictures_without_labels_are_of_the_models_classes_and_count_for_no_accuracy() -> None:
    features, is_on = given()
    some = features.labels.clone()
    some[::5] = -1
    unlabelled = features_of(features.pooled, some, features.labels)  # the model is right wherever it is not told
    found = find_shortcuts(unlabelled, HEAD, n=1, n_pictures=2, seed=3, fingerprint="f")[0]
    assert found.n_on == int(is_on.sum())
    kept = work_of(features).halves & (some >= 0)
    assert found.counts.tolist() == [
        [int((kept & (some == label) & (is_on == bool(state))).sum()) for state in range(2)] for label in range(3)
    ]
    assert picture_of(unlabelled, 0).label is None
    assert picture_of(unlabelled, 1).label == 1
    assert picture_of(unlabelled, 7).image == "image-0000107"
    assert picture_of(unlabelled, 7, is_on=True).is_on
    assert not picture_of(unlabelled, 7).is_on


def test_nothing_is_found_where_less_than_two_directions_vary() -> None:
    rows = torch.zeros(60, 4)
    rows[:, 1] = torch.randn(60, generator=torch.Generator().manual_seed(0))
    assert (
        find_shortcuts(features_of(rows, torch.arange(60) % 3), HEAD, n=1, n_pictures=1, seed=0, fingerprint="f") == []
    )
    rows[:, 2] = torch.randn(60, generator=torch.Generator().manual_seed(1))
    assert find_shortcuts(features_of(rows, torch.arange(60) % 3), HEAD, n=1, n_pictures=1, seed=0, fingerprint="f")
