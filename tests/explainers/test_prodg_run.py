"""A run of ProDG: what is begun anew, what is left on the way, what is noted."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from painted import DIM, Painted, prodg
from torch import Tensor
from toys import small_cnn

import likethat as lt
from likethat._checkpoint import Checkpoint
from likethat._progress import Progress
from likethat.explainers.prodg import climbing, run
from likethat.explainers.prodg.ascent import Group, Summit
from likethat.explainers.prodg.climbing import RESTARTS, SILENT, Climbed, Climber
from likethat.explainers.prodg.run import Run
from likethat.generators import Generated


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


def climbed_of(purity: list[list[float]]) -> Climbed:
    n = len(purity)
    values = torch.tensor(purity)
    return Climbed(
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

    monkeypatch.setattr(climbing, "climb", climb)
    options: Any = SimpleNamespace(generator=Painted(), seed=11)
    # Silent up to .001: the first and the last; the second is not, nor the third, whose other image is seen.
    kept = Climber(options=options).restarted(climbed_of([[-0.2, -0.1], [0.0011, -1.0], [-1.0, 0.5], [0.001, 0.0]]))
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


@pytest.mark.slow
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


def test_the_measures_by_hand() -> None:
    means = torch.rand(9, 8, generator=torch.Generator().manual_seed(0))
    means[:, [1, 6]] = 0.5  # two channels that never vary; the second climbed, in vain
    one: Any = SimpleNamespace(method=prodg(n_samples=30), begun=SimpleNamespace(features=SimpleNamespace(means=means)))
    climbed = climbed_of([[0.2, 0.4], [0.1, 0.1], [0.6, 0.8]])  # channels 5, 6, 7
    live = torch.tensor([True, False, True])

    def shown(unit: int, purity: float, kind: str = "positive") -> Any:
        return SimpleNamespace(unit=unit, purity=purity, kind=kind)

    rows = [shown(5, 0.5), shown(5, 0.7), shown(7, 0.9), shown(5, -3.0, "negative"), shown(6, -4.0), shown(2, 9.0)]
    assert Run._measures(one, torch.eye(8), climbed, live, rows) == {
        "purity": pytest.approx((0.5 + 0.7 + 0.9) / 3),  # of channels that climbed, and live
        "purity_of_samples": pytest.approx((0.2 + 0.4 + 0.6 + 0.8) / 4),
        "climbing_channels": 3.0,
        "dead_channels": 2.0,  # the one that climbed is counted once
        "generator_calls": 37.0,
    }
    none = Run._measures(one, torch.eye(8), climbed, torch.zeros(3, dtype=torch.bool), rows)
    assert (none["purity"], none["purity_of_samples"], none["dead_channels"]) == (0.0, 0.0, 4.0)


def test_a_channel_lives_while_one_of_its_prototypes_does(
    model: lt.SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = prodg(steps=0).fit(model, channels=[0, 3, 5]).provenance.measures
    assert not [name for name in usual if name.startswith("control_")]  # none were asked for
    climb = Run._climb

    def silenced(self: Run, mixing: Tensor, units: Tensor) -> Climbed:
        found = climb(self, mixing, units)
        found.purity[0, 0], found.purity[1] = -1.0, -1.0  # one of the first channel's, and all of the second's
        return found

    monkeypatch.setattr(Run, "_climb", silenced)
    measures = prodg(steps=0).fit(model, channels=[0, 3, 5]).provenance.measures
    assert measures["dead_channels"] == usual["dead_channels"] + 1


def test_the_rotation_of_samples_keeps_the_schedule_that_was_measured() -> None:
    assert (run.SCHEDULE.first, run.SCHEDULE.last, run.SCHEDULE.rounds) == (100, 14, 8)  # docs/methods.md
    assert (run._OF_PRIOR, RESTARTS, SILENT) == (1000, 2, 1e-3)


@pytest.mark.slow
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


def test_negative_and_positive_prototypes_stand_in_order(model: lt.SplitModel) -> None:
    bank = prodg(steps=0).fit(model, channels=[0, 3, 5])
    keys = [(item.unit, item.kind == "negative", item.rank) for item in bank.prototypes]
    assert keys == sorted(keys)
    assert {item.kind for item in bank.prototypes if item.unit == 3} == {"positive", "negative"}
    assert set(bank.images) == {item.image for item in bank.prototypes}  # no picture that nothing shows
    for start in ("sample-", "made-"):
        names = [name for name in bank.images if name.startswith(start)]
        assert names == sorted(names)  # whichever shows them first: the same bank, the same bytes
    assert {item.index for item in bank.prototypes} == {-1}  # none is a number of a data set
    made = [item for item in bank.prototypes_of(3) if item.kind == "positive"]
    assert [item.rank for item in made] == [0, 1, 2]
    assert [item.purity for item in made] == sorted((item.purity for item in made), reverse=True)


def test_images_that_are_all_the_same_are_refused(model: lt.SplitModel) -> None:
    class Same(Painted):
        def __call__(self, latents: Tensor) -> Tensor:
            return super().__call__(latents) * 0 + 0.5

    with pytest.raises(lt.errors.InputError, match="must make images that differ, got 60 with the same features"):
        prodg(generator=Same()).fit(model)


@pytest.mark.slow
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
