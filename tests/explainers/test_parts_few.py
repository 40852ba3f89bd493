"""Few images a class: the cells of each image are shared, exactly, and an image is never its own prototype."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import class_token_network, small_cnn

import likethat as lt
from likethat.coordinates import HeadParts, PhotoRegions, SuperclassParts
from likethat.errors import BankError, InputError
from likethat.explainers.parts.few import chosen_algorithm, superclasses
from likethat.explanations.explain import SHARED
from likethat.fitting.held_out import too_few_sentence

pytestmark = [
    pytest.mark.filterwarnings("ignore:The model gives only"),  # its weights are random
    pytest.mark.slow,  # what all its tests share takes seconds to fit
]
N_CLASSES = 24
ALGORITHMS = ["superclasses", "regions"]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Three alike pictures of each class."""
    rng = torch.Generator().manual_seed(0)
    base = torch.rand(N_CLASSES, 3, 16, 16, generator=rng).repeat_interleave(3, 0)
    return (0.8 * base + 0.2 * torch.rand(base.shape, generator=rng)).clamp(0, 1)


@pytest.fixture(scope="module")
def labels() -> list[int]:
    return [index // 3 for index in range(3 * N_CLASSES)]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return small_cnn(n_classes=N_CLASSES)


@pytest.fixture(scope="module")
def model(network: torch.nn.Module, images: torch.Tensor) -> lt.SplitModel:
    return lt.split(network, example=images[:4])


@pytest.fixture(scope="module")
def banks(model: lt.SplitModel, images: torch.Tensor, labels: list[int]) -> dict[str, lt.Bank]:
    return {
        name: lt.PartPrototypes(algorithm=name, n_prototypes=3).fit(model, images, labels=labels)  # type: ignore[arg-type]
        for name in ALGORITHMS
    }


@pytest.mark.parametrize("name", ALGORITHMS)
def test_rows_add_up_to_the_logit_and_four_carry_it(name: str, banks: Any, images: torch.Tensor) -> None:
    for index in (0, 17):
        why = banks[name].explain(images[index])
        assert abs(why.gap()) < 1e-6
        assert why.coverage > 0.999
        assert SHARED in why.warnings
        for row in why.rows:
            assert float(row.heat_map.sum(dtype=np.float64)) == pytest.approx(row.contribution, abs=1e-6)
            assert row.cell == np.unravel_index(int(row.activation_map.argmax()), row.activation_map.shape)
        contrast = banks[name].contrast(images[index])
        assert abs(contrast.gap()) < 1e-6
        assert contrast.logit > 0


def test_an_explanation_names_the_classes_that_have_their_parts_together(banks: Any, images: torch.Tensor) -> None:
    groups = banks["superclasses"].coordinates.class_groups.tolist()
    target = next(index for index, group in enumerate(groups) if groups.count(group) > 1)
    together = [index for index, group in enumerate(groups) if group == groups[target]]
    why = banks["superclasses"].explain(images[0], target=target)
    (said,) = [text for text in why.warnings if "their parts together" in text]
    names = [repr(why.class_names[index]) for index in together]
    assert said.startswith(f"These {len(together)} classes have their parts together: {', '.join(names[:12])}")
    assert (" and " in said) == (len(together) > 12)
    assert not any("their parts together" in text for text in banks["regions"].explain(images[0]).warnings)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_image_is_never_its_own_prototype_and_rows_stay_full(name: str, banks: Any, images: torch.Tensor) -> None:
    other = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(5))
    for index in (0, 30, 71):
        rows = banks[name].explain(images[index], target=index // 3).rows
        assert all(item.index != index for row in rows for item in row.prototypes)
        assert all([item.rank for item in row.prototypes] == list(range(len(row.prototypes))) for row in rows)
        if name == "regions":  # another takes its place
            assert {len(row.prototypes) for row in rows} == {3}
    assert {len(row.prototypes) for row in banks[name].explain(other).rows} == {3}


def test_a_look_alike_is_chosen_among_images_of_near_classes(banks: Any, images: torch.Tensor) -> None:
    bank = banks["regions"]
    head = torch.nn.functional.normalize(bank.head.weight)
    near = (head @ head[5]).sort(descending=True).indices[:3].tolist()  # 7 images: of the class and of two others
    shown = {item.index // 3 for row in bank.explain(images[15], target=5).rows for item in row.prototypes}
    assert shown <= set(near)
    assert 5 in shown


@pytest.mark.parametrize("name", ALGORITHMS)
def test_opens_as_it_was_saved(
    name: str, banks: Any, network: torch.nn.Module, images: torch.Tensor, tmp_path: Path
) -> None:
    banks[name].save(tmp_path / "bank")
    opened = lt.open_bank(tmp_path / "bank", network)
    first, second = banks[name].explain(images[4]), opened.explain(images[4])
    assert np.array_equal(first.contributions, second.contributions)
    assert [row.prototypes for row in first.rows] == [row.prototypes for row in second.rows]
    second.save(tmp_path / "why")
    assert lt.open(tmp_path / "why").rows[0].name == first.rows[0].name
    opened.save(tmp_path / "bank.html")
    second.save(tmp_path / "why.html")
    assert "not to the class&#39;s row of the head" in (tmp_path / "why.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_same_seed_same_bank(name: str, banks: Any, model: Any, images: torch.Tensor, labels: list[int]) -> None:
    again = lt.PartPrototypes(algorithm=name, n_prototypes=3).fit(model, images, labels=labels, batch_size=7)  # type: ignore[arg-type]
    assert torch.equal(again.coordinates.basis, banks[name].coordinates.basis)  # type: ignore[union-attr]
    assert again.prototypes == banks[name].prototypes
    assert np.array_equal(again.usage, banks[name].usage)


def test_what_is_measured_was_not_fitted_to(banks: Any) -> None:
    measures = banks["superclasses"].provenance.measures
    assert measures["held_out_images"] == 14  # one in five of 72
    assert measures["held_out_coverage_of_4"] == pytest.approx(1)
    assert measures["held_out_purity"] > measures["own_purity"]
    assert too_few_sentence() not in banks["superclasses"].provenance.warning
    assert 1 <= measures["held_out_places_of_4"] <= 4
    assert banks["regions"].provenance.measures["held_out_images"] == 72  # each was divided by itself alone


def test_auto_says_what_it_chose_and_why(model: Any, images: torch.Tensor, labels: list[int]) -> None:
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=labels)
    assert isinstance(bank.coordinates, SuperclassParts)
    assert bank.provenance.options["algorithm"] == "superclasses"
    assert any("24 classes have 3 images each" in note and "superclasses" in note for note in bank.provenance.notes)
    few = lt.PartPrototypes(n_prototypes=2).fit(model, images[::3], labels=labels[::3])
    assert isinstance(few.coordinates, PhotoRegions)
    assert any("24 classes have 1 image each" in note and "regions" in note for note in few.provenance.notes)
    assert ("held_out_purity" in few.provenance.measures) == (too_few_sentence() not in few.provenance.warning)
    many = lt.PartPrototypes(n_parts=2).fit(model, images, labels=[index % 10 for index in range(72)])
    assert isinstance(many.coordinates, HeadParts)
    assert many.provenance.options["algorithm"] == "ownership"


@pytest.mark.parametrize(
    ("counts", "n_classes", "expected"),
    [
        ([5] * 30, 30, "ownership"),
        ([1] * 19, 1000, "ownership"),  # too few classes to gather
        ([4] * 20, 1000, "superclasses"),
        ([1] * 59, 1000, "regions"),
        ([1] * 60, 1000, "superclasses"),
        ([1] * 60, 6000, "regions"),  # more rows than are compared all with all
        ([1] * 10 + [9] * 20, 30, "ownership"),  # the typical class has many
    ],
)
def test_what_auto_stands_for(counts: list[int], n_classes: int, expected: str) -> None:
    classes = torch.tensor([-1, *(one for one, n in enumerate(counts) for _ in range(n))])
    found, why = chosen_algorithm(classes, n_classes)
    assert found == expected
    assert bool(why) == (expected != "ownership")


def test_a_superclass_is_the_smallest_branch_that_holds_enough() -> None:
    # Two pairs of directions and one far off: (0, 1), (2, 3), 4. The pairs lie nearer to each other than to 4.
    angles = torch.tensor([0.0, 0.1, 0.6, 0.72, 2.5])
    head = torch.stack([angles.cos(), angles.sin()], dim=1)
    found = superclasses(head, torch.tensor([1, 1, 2, 0, 1]), least=2)
    assert [(members.tolist(), own.tolist()) for members, own in found] == [
        ([2], [2]),  # holds two images by itself
        ([0, 1], [0, 1]),
        ([2, 3], [3]),  # has none of its own: its neighbour's
        ([0, 1, 2, 3, 4], [4]),
    ]
    assert [own.tolist() for _, own in superclasses(head, torch.tensor([0, 0, 1, 0, 0]), least=2)] == [[0, 1, 2, 3, 4]]
    assert superclasses(head, torch.zeros(5, dtype=torch.long), least=2) == []
    assert superclasses(head[:1], torch.tensor([1]), least=2)[0][1].tolist() == [0]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_has_no_place_is_shared_too(name: str) -> None:
    pictures = torch.rand(12, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    model = lt.split(class_token_network(), example=pictures[:4])
    bank = lt.PartPrototypes(algorithm=name, n_prototypes=2).fit(model, pictures)  # type: ignore[arg-type]
    why = bank.explain(pictures[0])
    assert abs(why.gap()) < 1e-5
    assert why.remainder == pytest.approx(float(why.unlocated.sum()), abs=1e-5)
    assert abs(why.remainder) > 1e-3


def test_pages_of_single_classes_and_measures_against_other_images_say_what_they_need(
    banks: Any, images: torch.Tensor, tmp_path: Path
) -> None:
    from likethat.metrics import evaluate
    from likethat.report import save_classes

    with pytest.raises(BankError, match=r"PartPrototypes \(superclasses\) has no classes' parts"):
        save_classes(banks["superclasses"], tmp_path / "classes.html")
    with pytest.raises(InputError, match="got one of regions"):
        evaluate(banks["regions"], images)


def test_no_image_of_any_class_is_a_sentence(model: Any, images: torch.Tensor) -> None:
    for name in ALGORITHMS:
        with pytest.raises(InputError, match="must give at least one image a class"):
            lt.PartPrototypes(algorithm=name).fit(model, images[:3], labels=[-1, -1, -1])  # type: ignore[arg-type]


def test_rows_are_named_by_one_class_and_how_many_are_alike(banks: Any) -> None:
    names = banks["superclasses"].coordinates.unit_names
    assert all(re.fullmatch(r"part \d+ of '[^']+'( and \d+ alike)?", name) for name in names)
    assert any("alike" in name for name in names)
    assert len(set(names)) == len(names)  # the images of two superclasses may be the same, their classes are not
