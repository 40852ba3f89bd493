"""EPIC on small networks: exact, pure, repeatable, and clear about bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference import epic as reference
from torch import nn
from toys import Sine, class_token_network, pictures, same_files, small_cnn

import likethat as lt
from likethat import papers
from likethat._progress import Progress
from likethat.errors import InputError, NotLinearError
from likethat.features import collect
from likethat.fitting.rotation import AdamSolver, Schedule, fit_procrustes
from likethat.functional import random_rotation


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return pictures()


@pytest.fixture(scope="module")
def model(images: torch.Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee", "cat"))


@pytest.fixture(scope="module")
def bank(model: lt.SplitModel, images: torch.Tensor) -> lt.Bank:
    return lt.EPIC(n_prototypes=3).fit(model, images)


METHODS: list[Any] = [
    lt.EPIC(2),
    lt.EPIC(2, mixing="whitened"),
    lt.EPIC(2, usage_weight=0.5),
    papers.EPIC(2, epochs=2),
    papers.EPIC(2, mixing="invertible", epochs=2),
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_contributions_add_up_to_the_logit(method: Any, model: lt.SplitModel, images: torch.Tensor) -> None:
    bank = method.fit(model, images)
    logits = model.network(images[:5]).detach()
    for index in range(5):
        for target in range(3):
            why = bank.explain(images[index], target)
            total = float(why.contributions.sum(dtype=np.float64)) + why.remainder + why.bias
            assert total == pytest.approx(float(logits[index, target]), rel=1e-4, abs=1e-5)
            assert why.remainder == 0.0
            for row in why.rows:
                assert float(row.heat_map.sum()) == pytest.approx(row.contribution, rel=1e-4, abs=1e-6)


@pytest.mark.slow
def test_a_class_token_is_located_and_what_is_left_is_named(images: torch.Tensor) -> None:
    network = class_token_network()
    bank = lt.EPIC(n_prototypes=2).fit(lt.split(network, example=images[:4]), images)
    why = bank.explain(images[0])
    logit = float(network(images[:1])[0, why.target].detach())
    assert not why.spatially_additive
    assert list(why.remainder_terms) == ["class token and constant"]
    assert float(np.abs(why.contributions).max()) > 0.0
    total = float(why.contributions.sum(dtype=np.float64)) + why.remainder + why.bias
    assert total == pytest.approx(logit, rel=1e-4)
    assert float(why.unlocated.sum()) == pytest.approx(why.remainder, rel=1e-5)
    assert "class token" in why.warnings[0]


def test_prototypes_are_those_of_the_definition(bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor) -> None:
    maps = model.features(images).detach().flatten(2)
    for channel in (0, 7, 15):
        mine = bank.prototypes_of(channel)
        if not mine:
            continue
        assert [item.index for item in mine] == reference.top_images(maps, bank.mixing, channel, 3)
        for item in mine:
            cell, purity = reference.peak(maps[item.index], bank.mixing, channel)
            assert item.cell == (cell // 4, cell % 4)
            assert item.purity == pytest.approx(purity, abs=1e-4)
            row, column = item.cell
            assert item.box == (4 * column, 4 * row, 4 * column + 4, 4 * row + 4)


def test_negative_prototypes_are_the_lowest(bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor) -> None:
    means = model.features(images).detach().mean((2, 3)) @ bank.mixing.T
    for channel in range(bank.n_units):
        if bank.prototypes_of(channel, "negative"):
            lowest = [item.index for item in bank.prototypes_of(channel, "negative")]
            assert lowest == means[:, channel].sort(stable=True).indices[:3].tolist()
    maps = torch.einsum("kd,ndhw->nkhw", bank.mixing, model.features(images).detach()).flatten(2)
    negative = [item for item in bank.prototypes if item.kind == "negative"]
    assert len(negative) > 10
    for item in negative:  # the box stands on the least active cell, not on the most active
        values = maps[item.index, item.unit]
        assert float(values[4 * item.cell[0] + item.cell[1]]) == pytest.approx(float(values.min()), abs=1e-5)


@pytest.mark.slow
def test_each_solver_makes_purer_prototypes_than_the_identity(model: lt.SplitModel, images: torch.Tensor) -> None:
    features = collect(model, lt.Images(images))
    schedule = Schedule(first=20, last=10, rounds=6)
    before = reference.mean_purity(features.maps, torch.eye(16), 5)
    procrustes = reference.mean_purity(features.maps, fit_procrustes(features, schedule), 5)
    solver = AdamSolver(orthogonal=True, epochs=12, learning_rate=1e-2, weight_decay=1e-5, batch=64, seed=0)
    adam = reference.mean_purity(features.maps, solver.fit(features, schedule), 5)
    assert procrustes > before + 0.02
    assert adam > before + 0.01
    assert procrustes > adam - 0.02


def test_procrustes_finds_planted_concepts() -> None:
    """Orthonormal concepts, each alone at one cell of some images: the rotation must be theirs."""
    rng = torch.Generator().manual_seed(0)
    concepts = random_rotation(24, rng=rng)
    n = 480
    maps = 0.02 * torch.randn(n, 24, 9, generator=rng)
    for index in range(n):
        strength = 1 + torch.rand(1, generator=rng)
        maps[index, :, index % 9] += strength * concepts[index % 24]
    means = maps.mean(2)
    from likethat.features import Features

    zeros = torch.zeros(n, dtype=torch.long)
    features = Features(
        means=means, pooled=means, predicted=zeros, labels=zeros, indices=torch.arange(n), names=[""] * n,
        kept=torch.arange(n), maps=maps, views=torch.zeros(n, 1, 1, 1, dtype=torch.uint8), grid=(3, 3),
    )  # fmt: skip
    mixing = fit_procrustes(features, Schedule(first=20, last=10, rounds=15))
    cosines = (mixing @ concepts.T).abs()
    assert (cosines.max(1).values > 0.95).float().mean() >= 0.9


@pytest.mark.parametrize("options", [{"batch_size": 7}, {"batch_size": 90, "workers": 2}], ids=str)
def test_same_seed_same_bank(
    options: dict[str, int], bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor, tmp_path: Path
) -> None:
    other = lt.EPIC(n_prototypes=3).fit(model, images, **options)
    assert same_files(bank.save(tmp_path / "a"), other.save(tmp_path / "b"))


class _StopAt:
    def __init__(self, stage: str, done: int) -> None:
        self.stage, self.done = stage, done

    def __call__(self, progress: Progress) -> None:
        if progress.stage.startswith(self.stage) and progress.done >= self.done:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("is_due", [True, False], ids=["shards on the way", "interrupted before one was due"])
@pytest.mark.parametrize(
    ("epic", "stage", "done"),
    [
        (lt.EPIC(3), "reading images", 40),
        (lt.EPIC(3, mixing="whitened"), "turning", 2),
        (papers.EPIC(3, epochs=4), "turning", 2),
    ],
    ids=["pass", "procrustes", "adam"],
)
def test_an_interrupted_fit_goes_on_to_the_same_bank(
    epic: Any, stage: str, done: int, model: lt.SplitModel, images: torch.Tensor, tmp_path: Path,
    is_due: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("likethat._checkpoint.Checkpoint.is_due", lambda _: is_due)
    whole = epic.fit(model, images)
    left = tmp_path / "left"
    with pytest.raises(KeyboardInterrupt):
        epic.fit(model, images, checkpoint=left, watch=_StopAt(stage, done))
    assert any(left.glob("shard-*"))
    seen: list[Progress] = []
    resumed = epic.fit(model, images, checkpoint=left, resume=True, watch=seen.append)
    assert left.exists()  # until the bank is saved
    assert same_files(whole.save(tmp_path / "a"), resumed.save(tmp_path / "b"))
    assert not left.exists()
    reading = [item.done for item in seen if item.stage == "reading images"]
    assert not reading or reading[0] > 40  # the pass went on, it did not begin again


def test_resume_refuses_the_work_of_other_options(model: lt.SplitModel, images: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        lt.EPIC(seed=0).fit(model, images, checkpoint=tmp_path / "c", watch=_StopAt("reading", 1))
    with pytest.raises(InputError, match="left by another fit: its seed is 0, this one's is 1"):
        lt.EPIC(seed=1).fit(model, images, checkpoint=tmp_path / "c", resume=True)
    with pytest.raises(InputError, match=r"where no readable checkpoint\.json lies"):
        lt.EPIC().fit(model, images, checkpoint=tmp_path / "nothing", resume=True)
    assert any((tmp_path / "c").glob("shard-*"))


def test_a_small_budget_still_chooses_among_all_images(
    bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor
) -> None:
    one_map = 16 * 16 * 4 + 3 * 16 * 16
    small = lt.EPIC(n_prototypes=3).fit(model, images, memory_budget=30 * one_map)
    assert "learned on 30 of 90 images" in " ".join(small.provenance.notes)
    means = model.features(images).detach().mean((2, 3)) @ small.mixing.T
    for channel in range(16):
        found = [item.index for item in small.prototypes_of(channel)]
        if found:
            assert found == means[:, channel].sort(descending=True, stable=True).indices[:3].tolist()
    logit = float(model.logits(images[:1])[0, 0].detach())
    assert small.explain(images[0], 0).logit == pytest.approx(logit, rel=1e-5)


def test_prototypes_stand_by_unit_then_kind_then_rank(bank: lt.Bank) -> None:
    order = [(item.unit, ("positive", "negative").index(item.kind), item.rank) for item in bank.prototypes]
    assert order == sorted(order)
    assert {item.kind for item in bank.prototypes} == {"positive", "negative"}


@pytest.mark.slow
def test_a_stream_is_read_once(model: lt.SplitModel, images: torch.Tensor) -> None:
    def stream() -> Any:
        yield from images

    bank = lt.EPIC(n_prototypes=2).fit(model, stream())
    whole = lt.EPIC(n_prototypes=2).fit(model, images)
    assert [item.index for item in bank.prototypes] == [item.index for item in whole.prototypes]


def test_a_dead_channel_has_no_prototypes_and_is_counted(images: torch.Tensor) -> None:
    network = small_cnn()
    with torch.no_grad():
        network[3].weight[5] = 0.0  # type: ignore[index]
        network[3].bias[5] = -1.0  # type: ignore[index]
    bank = lt.EPIC(n_prototypes=2).fit(lt.split(network, example=images[:4]), images)
    dead = [unit for unit in range(bank.n_units) if not bank.prototypes_of(unit)]
    assert len(dead) >= 1
    assert bank.provenance.measures["dead_channels"] == len(dead)
    assert "without variation" in " ".join(bank.provenance.notes)
    assert abs(bank.explain(images[0]).gap()) < 1e-4


def test_images_with_nan_features_are_skipped_and_listed(images: torch.Tensor) -> None:
    class Stretch(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values / values.amax((1, 2, 3), keepdim=True)  # a black image becomes 0 / 0

    fragile = nn.Sequential(Stretch(), *small_cnn()).eval()
    bright = images.clone()
    bright[17] = 0.0
    bank = lt.EPIC(n_prototypes=2).fit(lt.split(fragile, example=bright[:4]), bright)
    assert bank.provenance.n_images == 89
    assert [reason for _, reason in bank.provenance.skipped] == [
        "the model's features or logits for it are NaN or infinite"
    ]
    assert 17 not in {item.index for item in bank.prototypes}


@pytest.mark.parametrize(
    ("n", "message"),
    [(1, "at least n_prototypes = 5 images .* got 1"), (4, "got 4"), (0, "got none|at least one|must hold")],
)
def test_too_few_images(n: int, message: str, model: lt.SplitModel, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match=message):
        lt.EPIC(n_prototypes=5).fit(model, images[:n])


def test_images_all_alike(model: lt.SplitModel, images: torch.Tensor) -> None:
    with pytest.raises(InputError, match="must differ, got 10 images with the same features"):
        lt.EPIC(n_prototypes=2).fit(model, images[:1].repeat(10, 1, 1, 1))


@pytest.mark.slow
def test_a_model_without_a_linear_head_is_refused_with_advice(images: torch.Tensor) -> None:
    network = small_cnn()
    deep = nn.Sequential(*list(network)[:-1], nn.Linear(16, 8), Sine(), nn.Linear(8, 3)).eval()
    split = lt.split(deep, example=images[:4])
    assert not split.is_linear
    with pytest.raises(NotLinearError, match="EPIC"):
        lt.EPIC().fit(split, images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_prototypes": 0}, "`n_prototypes` must be a whole number of at least 1, got 0"),
        ({"mixing": "invertible"}, "`mixing` must be one of 'orthogonal', 'whitened', got 'invertible'"),
        ({"usage_weight": -1.0}, "`usage_weight` must be a number of at least 0"),
        ({"condition": 0.5}, "`condition` must be a number of at least 1"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0"),
    ],
    ids=str,
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.EPIC(**options)


def test_the_network_is_untouched_by_a_fit(images: torch.Tensor) -> None:
    network = small_cnn()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    lt.EPIC(n_prototypes=2).fit(lt.split(network, example=images[:4]), images).explain(images[0])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
