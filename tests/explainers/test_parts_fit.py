"""What a fit of parts does with each class, and what it says of it, on cells that are worked out by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import class_token_network, features_of

import likethat as lt
from likethat._progress import Progress
from likethat.explainers.parts import fit as module
from likethat.explainers.parts.cells import cells_of
from likethat.explainers.parts.discovery import Found
from likethat.explainers.parts.fit import PartFit
from likethat.explainers.parts.named import NamedParts
from likethat.functional.probe import fit_probe
from likethat.sources.marks.records import SURROUNDINGS

AXES = torch.eye(4)


def network_of(weight: Tensor) -> lt.SplitModel:
    """A network whose channels are the colours of a picture, under a given head."""
    n_classes, n_channels = weight.shape
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_channels, n_classes)).eval()
    with torch.no_grad():
        network[-1].weight.copy_(weight)  # type: ignore[operator, union-attr]
    names = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu")[:n_classes]
    preprocess = lt.Preprocess(channels=n_channels)
    return lt.split(network, preprocess=preprocess, example=torch.rand(2, n_channels, 4, 4), class_names=names)


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return network_of(torch.tensor([[2.0, 1.0, 0.0, 0.5], [1.0, 0.0, 3.0, 1.0], [0.5, 0.5, 0.5, 0.5]]))


def fit(model: lt.SplitModel, maps: Tensor, classes: list[int], **more: Any) -> PartFit:
    options = more.pop("options", lt.PartPrototypes(n_parts=2))
    features = more.pop("features", None) or features_of(maps)
    return PartFit(
        model=model, source=lt.Images(torch.zeros(len(maps), 4, 4, 4)), features=features,
        classes=torch.tensor(classes), options=options, shares=options.shares, **more,
    )  # fmt: skip


def planted(n: int, *, seed: int = 0) -> Tensor:
    """Images of eight cells: a third show the first channel, a third the second, the others the last two together."""
    rng = torch.Generator().manual_seed(seed)
    kinds = torch.stack([AXES[0], AXES[1], (AXES[2] + AXES[3]) / 2**0.5])
    cells = kinds[torch.randint(3, (n, 8), generator=rng)] * (1 + torch.rand(n, 8, 1, generator=rng))
    return cells.transpose(1, 2)


def notes_of(work: PartFit) -> str:
    work.run(None)
    return " ".join(work.notes)


def test_what_happened_to_each_class_is_said_by_name(model: lt.SplitModel) -> None:
    maps = planted(12)
    zeros = torch.zeros(3, 4, 8)
    assert notes_of(fit(model, maps, [index % 3 for index in range(12)])) == ""
    assert "No image of class 'bee' was given (or predicted): the head" in notes_of(fit(model, maps, [0, 2] * 6))
    assert "No image of classes 'ant', 'bee', 'cat' was given" in notes_of(fit(model, maps, [-1] * 12))
    said = notes_of(fit(model, torch.cat([maps, zeros]), [index % 2 for index in range(12)] + [2] * 3))
    assert "The features of class 'cat' are all zero: the head" in said
    assert "No image" not in said
    assert "One image stands for class 'cat': its parts" in notes_of(fit(model, maps, [0] * 5 + [1] * 6 + [2]))
    alike = torch.cat([maps[:8], maps[8:9].expand(4, -1, -1)])
    said = notes_of(fit(model, alike, [0] * 4 + [1] * 4 + [2] * 4))
    assert said == "The images of class 'cat' are all alike: its parts may be that picture's alone."
    few = torch.cat([maps[:8], AXES[:, :1].expand(4, 4, 8) * (1 + torch.arange(4.0)[:, None, None])])
    said = notes_of(fit(model, few, [0] * 4 + [1] * 4 + [2] * 4))
    assert said == "The cells of class 'cat' tell fewer parts apart than asked for: it has fewer parts."


def test_images_that_differ_in_one_channel_by_little_are_not_alike(model: lt.SplitModel) -> None:
    maps = planted(1).expand(6, -1, -1).clone()
    maps[1::2, 1] += 0.01
    assert "alike" not in notes_of(fit(model, maps, [0, 0, 1, 1, 2, 2]))


@pytest.mark.slow
def test_a_class_that_bears_out_one_part_is_said_where_the_number_was_free(model: lt.SplitModel) -> None:
    maps = torch.cat([planted(8), AXES[:, :1].expand(4, 4, 8) * (1 + torch.arange(4.0)[:, None, None])])
    classes = [0] * 4 + [1] * 4 + [2] * 4
    free = fit(model, maps, classes, options=lt.PartPrototypes("auto"))
    parts = free.run(None)
    assert [note[:60] for note in free.notes] == ["The images of class 'cat' bear out no more than one part: it"]
    assert parts.curves["error"].shape[0] == 3
    assert "bear out" not in notes_of(fit(model, maps, classes, options=lt.PartPrototypes(1)))
    assert not fit(model, maps, classes, options=lt.PartPrototypes(1)).run(None).curves


def test_more_than_five_classes_are_counted() -> None:
    wide = network_of(torch.rand(7, 4, generator=torch.Generator().manual_seed(0)) + 0.1)
    work = fit(wide, planted(2), [0, 1])
    assert work._listed([0]) == "class 'ant'"
    assert work._listed([0, 1, 2, 3, 4]) == "classes 'ant', 'bee', 'cat', 'dog', 'eel'"
    assert work._listed([6, 1, 2, 3, 4, 5]) == "classes 'gnu', 'bee', 'cat', 'dog', 'eel' and 1 more classes"


def test_parts_are_those_of_the_class_and_add_up(model: lt.SplitModel) -> None:
    work = fit(model, planted(30), [index % 3 for index in range(30)], options=lt.PartPrototypes(3))
    parts = work.run(None)
    assert parts.class_of.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for target in range(3):
        centroids = parts.centroids[parts.units_of(target)]
        wanted = torch.stack([AXES[0], AXES[1], (AXES[2] + AXES[3]) / 2**0.5])
        assert (centroids @ wanted.T).amax(0).tolist() == pytest.approx([1.0] * 3, abs=1e-3)
        assert torch.allclose(parts.summands(target).sum(0).float(), model.head.weight[target], atol=1e-5)
    assert 0 <= work.measures["residual"] <= 1
    assert work.measures["between_halves"] == pytest.approx(1, abs=0.02)
    assert work.measures["between_starts"] == pytest.approx(float(parts.measures["between_starts"].mean()))
    assert "error_left_out" not in parts.measures  # all cells took part


def test_figures_that_nobody_knows_are_left_out(model: lt.SplitModel) -> None:
    work = fit(model, planted(2), [-1, -1])
    work.run(None)
    assert work.measures == {}
    alone = fit(model, planted(3), [0, 1, 2])  # one image a class has no halves
    alone.run(None)
    assert set(alone.measures) == {"residual", "moved", "between_starts"}


def test_both_algorithms_are_what_they_are_called(model: lt.SplitModel) -> None:
    maps, classes = planted(12), [index % 3 for index in range(12)]
    shared = fit(model, maps, classes, options=lt.PartPrototypes(2, algorithm="shared", sharing="equal")).run(None)
    units = shared.units_of(0)
    base = torch.linalg.lstsq(shared.centroids[units].double().T, model.head.weight[0].double()).solution
    residual = shared.vectors[units].double() - base[:, None] * shared.centroids[units].double()
    assert torch.allclose(residual[0], residual[1], atol=1e-5)  # equal shares
    owned = fit(model, maps, classes, options=lt.PartPrototypes(2)).run(None)
    assert not torch.allclose(owned.vectors, shared.vectors, atol=1e-3)


def test_a_part_whose_cells_hold_little_evidence_is_weak() -> None:
    model = network_of(torch.tensor([[2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]))
    work = fit(model, planted(24), [index % 2 for index in range(24)], options=lt.PartPrototypes(3))
    parts = work.run(None)
    weak, density = parts.surroundings, parts.measures["density"]
    assert weak.tolist() == [False, True, True, False, False, False]  # the first class reads the first channel alone
    assert torch.equal(weak, density < 0.75)
    assert density[1:3].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_the_error_of_cells_left_out_is_that_of_other_cells(model: lt.SplitModel) -> None:
    maps = planted(40)
    work = fit(model, maps, [0] * 40, options=lt.PartPrototypes(1, cells_per_class=100, seed=5))
    member = cells_of(work.features, work.classes, 0, limit=100, seed=5)
    found = Found(
        centroids=AXES[:1], occurrence=torch.ones(100, 1), error=0.0, between_starts=torch.ones(1),
        between_halves=torch.ones(1),
    )  # fmt: skip
    used = {(image, place) for image, place in zip(member.images.tolist(), member.places.tolist(), strict=True)}
    other = cells_of(work.features, work.classes, 0, limit=100, seed=6)
    pairs = zip(other.images.tolist(), other.places.tolist(), strict=True)
    left = torch.stack([maps[image, :, place] for image, place in pairs if (image, place) not in used])
    assert 0 < len(left) < 100
    lost = left.square().sum() - left[:, 0].square().sum()  # what does not lie along the first axis
    assert work._left_out(member, found) == pytest.approx(float(lost / left.square().sum()), rel=1e-4)
    assert "error_left_out" in work.run(None).measures


def test_features_below_zero_are_found_signed_and_rounding_is_not(model: lt.SplitModel) -> None:
    maps = planted(6)
    for scale in (1e-3, 1.0, 1e3):  # as much as rounding leaves of the largest
        for least, is_signed in ((0.0, False), (-1e-7, False), (-1e-4, True)):
            maps[0, 0, 0] = least
            assert fit(model, scale * maps, [0] * 6)._is_signed is is_signed
    maps *= -1
    assert fit(model, maps, [0] * 6)._is_signed


def test_images_that_are_kept_back_belong_to_no_class_while_it_learns(model: lt.SplitModel) -> None:
    work = fit(model, planted(6), [0, 1, 2, 0, 1, 2], back=torch.tensor([1, 3]))
    assert work._learned.tolist() == [0, -1, 2, -1, 1, 2]
    assert work.classes.tolist() == [0, 1, 2, 0, 1, 2]
    assert fit(model, planted(6), [0, 1, 2, 0, 1, 2])._learned.tolist() == [0, 1, 2, 0, 1, 2]


def test_every_class_is_said_once_it_is_split(model: lt.SplitModel) -> None:
    seen: list[Progress] = []
    fit(model, planted(9), [index % 3 for index in range(9)], watch=seen.append).run(None)
    assert [(one.done, one.total) for one in seen] == [(1, 3), (2, 3), (3, 3)]


def test_parts_learned_on_some_of_the_images_say_so(model: lt.SplitModel) -> None:
    features = features_of(planted(9))
    features.kept, features.maps = torch.arange(6), features.maps[:6]
    said = notes_of(fit(model, planted(9), [index % 3 for index in range(9)], features=features))
    assert said.startswith("Parts were learned on 6 of 9 images")


@pytest.fixture(scope="module")
def token() -> lt.SplitModel:
    """A network whose head reads a class token, followed to the patches."""
    return lt.split(class_token_network(), example=torch.rand(2, 3, 16, 16))


def test_what_has_no_place_is_said(token: lt.SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = torch.rand(9, 12, 16, generator=torch.Generator().manual_seed(0))
    work = fit(token, maps, [index % 3 for index in range(9)])
    said = notes_of(work)
    assert said.startswith(f"With {token.held} held as on each image, parts add up exactly; the {token.remainder_name}")
    monkeypatch.setattr(lt.SplitModel, "held", property(lambda _: ""))
    said = notes_of(fit(token, maps, [index % 3 for index in range(9)]))
    assert said.startswith(f"The head reads its {token.remainder_name}, not the map alone")


def test_cells_count_as_the_head_weighs_them(token: lt.SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.tensor([0.0, 0.5] * 6)
    monkeypatch.setattr(lt.SplitModel, "spatial_weight", property(lambda _: weight))
    assert torch.equal(fit(token, torch.ones(2, 12, 16), [0, 1])._weighted(2 * torch.ones(1, 12))[0], 2 * weight)


def named(work: PartFit, names: tuple[str, ...], targets: Tensor, cells: Tensor) -> NamedParts:
    probe = fit_probe(cells, targets, torch.arange(len(cells)) % 4)
    return NamedParts(names=names, probe=probe, n_images=4)


def test_names_that_hardly_occur_in_a_class_are_left_out_and_shares_add_up(model: lt.SplitModel) -> None:
    names = ("beak", "wing", SURROUNDINGS)
    lesson = torch.eye(4)[[0, 1, 2]].repeat_interleave(40, 0) * 3
    targets = torch.eye(3).repeat_interleave(40, 0)
    maps = planted(12)
    maps[:6, 0] += maps[:6, 1]
    maps[:6, 1] = 0  # the first class shows no wing
    work = fit(model, maps, [0] * 6 + [1] * 6)
    taught = named(work, names, targets, lesson)
    first, second = (work._split_by_names(cells_of(work.features, work.classes, c, limit=999, seed=0), taught)
                     for c in (0, 1))  # fmt: skip
    assert set(second.names) == set(names)
    assert first.names[-1] == second.names[-1] == SURROUNDINGS
    assert "wing" not in first.names
    for parts, target in ((first, 0), (second, 1)):
        assert torch.allclose(parts.vectors.sum(0).float(), model.head.weight[target], atol=1e-5)
        assert parts.surroundings.tolist() == [name == SURROUNDINGS for name in parts.names]
        member = cells_of(work.features, work.classes, target, limit=999, seed=0)
        shares = taught.probe.shares(member.cells)[:, [names.index(name) for name in parts.names]]
        shares = shares / shares.sum(1, keepdim=True)
        for place in range(len(parts.names)):
            mean = (shares[:, place, None] * member.cells).sum(0) / shares[:, place].sum()
            assert parts.centroids[place].tolist() == pytest.approx(mean.tolist(), abs=1e-5)


def test_a_class_that_shows_nothing_is_one_part_among_named_ones(
    model: lt.SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = torch.cat([planted(8), torch.zeros(2, 4, 8), planted(4, seed=1)])
    work = fit(model, maps, [0] * 8 + [1] * 2 + [2] * 3 + [-1])
    lesson, targets = torch.eye(4)[[0, 1]].repeat_interleave(40, 0) * 3, torch.eye(2).repeat_interleave(40, 0)
    taught = named(work, ("beak", SURROUNDINGS), targets, lesson)
    monkeypatch.setattr(module, "learn_names", lambda *_: replace(taught, notes=("as told",)))
    parts = work.run(lt.Marks.of({}))
    assert list(parts.unit_names) == [
        "ant, beak", f"ant, {SURROUNDINGS}", "bee, whole", "cat, beak", f"cat, {SURROUNDINGS}",
    ]  # fmt: skip
    assert work.measures["marked_images"] == 4
    assert work.measures["probe_accuracy"] == taught.probe.accuracy
    assert work.notes[0] == "as told"
    assert work.notes[1].startswith("The features of class 'bee' are all zero")
