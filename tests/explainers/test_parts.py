"""Part prototypes on small networks: exact, repeatable, and clear about bad classes and bad marks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import Sine, class_token_network, pictures, same_files, small_cnn

import likethat as lt
from likethat import papers
from likethat.coordinates import HeadParts
from likethat.errors import InputError, NotLinearError
from likethat.explainers.parts.cells import ClassCells
from likethat.explainers.parts.fit import PartFit
from likethat.explainers.parts.splitting import whole
from likethat.features import collect
from likethat.fitting.prototypes import Candidates, gather_prototypes
from likethat.functional import cell_box, peak_cells

pytestmark = pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random
LABELS = [index % 3 for index in range(90)]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"algorithm": "shared"},
    {"algorithm": "shared", "sharing": "equal"},
    {"n_parts": "auto"},
    {"n_parts": 1},
    {"n_parts": 40},
    {"cells_per_class": 100},
]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return pictures()


@pytest.fixture(scope="module")
def source(images: torch.Tensor) -> lt.Images:
    return lt.Images(images, labels=LABELS)


@pytest.fixture(scope="module")
def model(images: torch.Tensor) -> lt.SplitModel:
    return lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee", "cat"))


@pytest.fixture(scope="module")
def bank(model: lt.SplitModel, source: lt.Images) -> lt.Bank:
    return lt.PartPrototypes(n_prototypes=3).fit(model, source)


@pytest.fixture(scope="module")
def marks(images: torch.Tensor) -> lt.Marks:
    """The bright square of every second image."""
    return lt.Marks.of({index: {"square": (images[index].amax(0) > 0.9).numpy()} for index in range(0, 40, 2)})


def parts_of(bank: lt.Bank) -> HeadParts:
    assert isinstance(bank.coordinates, HeadParts)
    return bank.coordinates


def check_exact(bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor) -> None:
    parts = parts_of(bank)
    for target in range(model.n_classes):
        total = parts.summands(target).float().sum(0)
        head = model.head.weight[target]
        assert float((total - head).norm() / head.norm()) < 1e-6
    logits = model.network(images[:4]).detach()
    for index in range(4):
        for target in range(model.n_classes):
            why = bank.explain(images[index], target)
            total = float(why.contributions.sum(dtype=np.float64)) + why.remainder + why.bias
            size = max(abs(float(logits[index, target])), float(np.abs(why.contributions).max()))
            assert abs(total - float(logits[index, target])) <= 1e-5 * size


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [papers.PartPrototypes(n_prototypes=2), *(lt.PartPrototypes(n_prototypes=2, **options) for options in OPTIONS)],
    ids=str,
)
def test_every_algorithm_is_exact(method: Any, model: lt.SplitModel, source: lt.Images, images: torch.Tensor) -> None:
    bank = method.fit(model, source)
    assert bank.provenance.method == method.name
    check_exact(bank, model, images)
    for row in bank.explain(images[0]).rows:
        assert float(row.heat_map.sum()) == pytest.approx(row.contribution, rel=1e-4, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_part_that_speaks_against_its_class_is_found_where_it_is(
    options: dict[str, Any], model: lt.SplitModel, source: lt.Images
) -> None:
    parts = parts_of(lt.PartPrototypes(n_prototypes=2, **options).fit(model, source))
    every = torch.arange(parts.n_units)
    speaks_for = torch.nn.functional.cosine_similarity(parts.vectors, parts.centroids)
    assert bool((speaks_for < 0).any())  # else this would show nothing
    split_up = torch.tensor([not name.endswith("whole") for name in parts.unit_names])
    found = torch.nn.functional.cosine_similarity(parts.detectors(every), parts.centroids)
    assert bool((found[split_up] > 0).all())


def with_their_part(parts: HeadParts, model: lt.SplitModel, images: torch.Tensor) -> float:
    """Share of the parts whose prototypes' cells look more like the part than the cells of its class do on average."""
    labels = torch.tensor(LABELS)
    features = collect(model, lt.Images(images, labels=LABELS))
    among = [Candidates(units=parts.units_of(c), rows=(labels == c).nonzero()[:, 0]) for c in range(3)]
    found, _ = gather_prototypes(model, lt.Images(images), features, parts, n=3, among=among, with_negative=False)
    held = []
    for unit in range(parts.n_units):
        cells = features.maps[labels == int(parts.class_of[unit])].mT.flatten(0, 1)
        usual = float(parts.purity(cells, torch.full((len(cells),), unit)).mean())
        held.append(np.mean([item.purity for item in found if item.unit == unit]) > usual)
    return float(np.mean(held))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"algorithm": "shared"}], ids=str)
def test_the_cells_of_prototypes_have_the_part_and_readers_of_random_sign_are_caught(
    options: dict[str, Any], model: lt.SplitModel, source: lt.Images, images: torch.Tensor
) -> None:
    parts = parts_of(lt.PartPrototypes(n_prototypes=2, **options).fit(model, source))
    assert with_their_part(parts, model, images) == 1
    signs = torch.ones(parts.n_units, 1, dtype=torch.float32)
    signs[torch.randperm(parts.n_units, generator=torch.Generator().manual_seed(0))[: parts.n_units // 2 + 1]] = -1
    turned = HeadParts(
        parts.vectors, parts.class_of, model.head.weight, centroids=parts.centroids,
        detectors=signs * parts.detectors(torch.arange(parts.n_units)),
    )  # fmt: skip
    assert with_their_part(turned, model, images) <= 0.5


def test_a_class_of_one_part_is_read_by_its_look() -> None:
    cells = torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    member = ClassCells(
        target=0, cells=cells, images=torch.tensor([0, 1]), places=torch.tensor([0, 0]), rows=torch.tensor([0, 1]),
        n_all=2,
    )  # fmt: skip
    part = whole(0, torch.tensor([-1.0, 0.5]), member)  # the class is recognised by what it has not
    assert float(part.detectors[0].float() @ part.centroids[0]) > 0
    assert torch.equal(part.vectors, torch.tensor([[-1.0, 0.5]]))


@pytest.mark.slow
def test_named_parts_are_exact_and_where_they_were_marked(
    model: lt.SplitModel, source: lt.Images, images: torch.Tensor, marks: lt.Marks
) -> None:
    bank = lt.PartPrototypes(algorithm="named", n_prototypes=3).fit(model, source, parts=marks)
    check_exact(bank, model, images)
    parts = parts_of(bank)
    assert set(bank.unit_names) == {
        f"{name}, {part}" for name in model.class_names for part in ("square", "surroundings")
    }
    assert parts.surroundings.tolist() == [name.endswith("surroundings") for name in bank.unit_names]
    assert bank.provenance.measures["marked_images"] == 20
    assert bank.provenance.measures["probe_accuracy"] > 0.9
    maps = torch.einsum("ud,idrc->uirc", parts.detectors(torch.arange(parts.n_units)), model.features(images).detach())
    for unit, name in enumerate(bank.unit_names):
        own = [index for index in range(90) if LABELS[index] == int(parts.class_of[unit])]
        on_square = np.mean([is_on_square(maps[unit, index], images[index]) for index in own])
        assert on_square >= 0.8 if name.endswith("square") else on_square <= 0.1


def is_on_square(activation: torch.Tensor, image: torch.Tensor) -> bool:
    """Return whether the cell of the highest activation shows the bright square."""
    row, column = peak_cells(activation).tolist()
    left, top, right, bottom = cell_box((row, column), grid=(4, 4), size=(16, 16))
    return float(image.amax(0)[top:bottom, left:right].mean()) > 0.5


def test_prototypes_are_the_strongest_images_of_the_class(
    bank: lt.Bank, model: lt.SplitModel, images: torch.Tensor
) -> None:
    parts = parts_of(bank)
    means = model.features(images).detach().mean((2, 3))
    for unit in range(bank.n_units):
        own = [index for index in range(90) if LABELS[index] == int(parts.class_of[unit])]
        values = means[own] @ parts.detectors(torch.tensor([unit]))[0]
        expected = [own[place] for place in values.sort(descending=True, stable=True).indices[:3].tolist()]
        assert [item.index for item in bank.prototypes_of(unit)] == expected
        assert not bank.prototypes_of(unit, "negative")


@pytest.mark.slow
def test_images_belong_to_a_class_by_label_or_by_prediction(model: lt.SplitModel, images: torch.Tensor) -> None:
    predicted = model.logits(images).detach().argmax(1)
    for options in ({"labels": "predicted"}, {}):
        bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, **options)  # type: ignore[arg-type]
        assert all(int(predicted[item.index]) == int(parts_of(bank).class_of[item.unit]) for item in bank.prototypes)
    given = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=[2 - label for label in LABELS])
    assert all(2 - LABELS[item.index] == int(parts_of(given).class_of[item.unit]) for item in given.prototypes)


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"batch_size": 7}, {"batch_size": 90, "workers": 2}], ids=str)
def test_same_seed_same_bank(
    options: dict[str, int], bank: lt.Bank, model: lt.SplitModel, source: lt.Images, tmp_path: Path
) -> None:
    other = lt.PartPrototypes(n_prototypes=3).fit(model, source, **options)
    assert same_files(bank.save(tmp_path / "a"), other.save(tmp_path / "b"))


@pytest.mark.slow
def test_opens_as_it_was_saved(model: lt.SplitModel, source: lt.Images, images: torch.Tensor, tmp_path: Path) -> None:
    bank = lt.PartPrototypes("auto", n_prototypes=2).fit(model, source)
    opened = lt.open_bank(bank.save(tmp_path / "bank"), model)
    mine, theirs = parts_of(bank), parts_of(opened)
    assert opened.unit_names == bank.unit_names
    assert torch.equal(mine.vectors, theirs.vectors)
    assert torch.equal(mine.centroids, theirs.centroids)
    assert torch.equal(mine.surroundings, theirs.surroundings)
    assert mine.measures.keys() == theirs.measures.keys()
    assert mine.curves.keys() == theirs.curves.keys() == {"agreement", "error"}
    assert np.array_equal(bank.explain(images[3]).contributions, opened.explain(images[3]).contributions)


def test_what_is_said_of_each_part(bank: lt.Bank) -> None:
    measures = parts_of(bank).measures
    assert set(measures) == {"residual", "moved", "between_starts", "between_halves", "error", "density"}
    assert bool(((measures["residual"] >= 0) & (measures["residual"] <= 1)).all())
    assert bool(((measures["moved"] >= -1e-6) & (measures["moved"] <= 2)).all())
    assert bool((measures["between_starts"] <= 1 + 1e-6).all())


@pytest.mark.slow
def test_sampled_cells_state_the_error_of_those_left_out(model: lt.SplitModel, source: lt.Images) -> None:
    bank = lt.PartPrototypes(n_prototypes=2, cells_per_class=100).fit(model, source)
    measures = parts_of(bank).measures
    assert bool((measures["error_left_out"] < 2 * measures["error"] + 0.05).all())


@pytest.mark.slow
def test_signed_features_are_split_too(images: torch.Tensor) -> None:
    network = small_cnn()
    signed = nn.Sequential(*[nn.Tanh() if index == 4 else layer for index, layer in enumerate(network)]).eval()
    model = lt.split(signed, example=images[:4])
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=LABELS)
    assert float(parts_of(bank).centroids.min()) < 0
    check_exact(bank, model, images)


@pytest.mark.slow
def test_a_class_token_is_split_exactly_with_a_note(images: torch.Tensor) -> None:
    model = lt.split(class_token_network(), example=images[:4])
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=LABELS)
    assert "class token" in " ".join(bank.provenance.notes)
    assert abs(bank.explain(images[0]).gap()) < 1e-5


@pytest.mark.slow
def test_surroundings_share_where_they_are_marked(
    bank: lt.Bank, model: lt.SplitModel, source: lt.Images, images: torch.Tensor, marks: lt.Marks
) -> None:
    assert bool(parts_of(bank).surroundings.any())
    assert bank.explain(images[0]).surroundings is None  # found, not marked
    named = lt.PartPrototypes(algorithm="named", n_prototypes=2).fit(model, source, parts=marks)
    why = named.explain(images[0])
    flagged = parts_of(named).surroundings.numpy()
    positive = np.clip(why.contributions, 0, None)
    assert why.surroundings == pytest.approx(positive[flagged].sum() / positive.sum(), rel=1e-5)


def test_warning_for_another_class(bank: lt.Bank, images: torch.Tensor) -> None:
    why = bank.explain(images[0])
    assert why.warnings == (bank.provenance.warning,)  # random weights: the fit itself warned
    other = bank.explain(images[0], (why.predicted + 1) % 3)
    for why in (other, bank.contrast(images[0])):
        assert any("decides what its heat maps look like" in sentence for sentence in why.warnings)


@pytest.mark.slow
def test_a_class_without_images_is_one_part(model: lt.SplitModel, images: torch.Tensor) -> None:
    labels = [0 if index < 60 else 1 for index in range(90)]
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=labels)
    assert bank.unit_names[-1] == "cat, whole"
    assert "No image of class 'cat'" in bank.provenance.notes[0]
    check_exact(bank, model, images)


@pytest.mark.slow
def test_a_class_with_one_image(model: lt.SplitModel, images: torch.Tensor) -> None:
    labels = [0] * 89 + [1]
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=labels)
    assert "One image stands for class 'bee'" in " ".join(bank.provenance.notes)
    units = parts_of(bank).units_of(1).tolist()
    assert [len(bank.prototypes_of(unit)) for unit in units] == [1] * len(units)
    assert bool(parts_of(bank).measures["between_halves"][units].isnan().all())
    check_exact(bank, model, images)


@pytest.mark.slow
def test_fewer_cells_or_channels_than_parts(model: lt.SplitModel, images: torch.Tensor) -> None:
    bank = lt.PartPrototypes(40, n_prototypes=2).fit(model, images, labels=LABELS)
    assert "fewer parts" in " ".join(bank.provenance.notes)
    assert bank.n_units <= 3 * 16


def test_features_of_zeros(images: torch.Tensor) -> None:
    model = lt.split(small_cnn(), example=images[:4])
    features = collect(model, lt.Images(images))
    features.maps.zero_()
    work = PartFit(
        model=model, source=lt.Images(images), features=features, classes=torch.tensor(LABELS),
        options=lt.PartPrototypes(), shares=lt.PartPrototypes().shares,
    )  # fmt: skip
    parts = work.run(None)
    assert parts.n_units == 3
    assert work.notes[0].startswith("The features of classes 'class 0'") or "all zero" in work.notes[0]


@pytest.mark.slow
def test_images_all_alike(model: lt.SplitModel, images: torch.Tensor) -> None:
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images[:1].repeat(6, 1, 1, 1), labels=[0] * 6)
    assert "images of class" in " ".join(bank.provenance.notes)
    check_exact(bank, model, images)


@pytest.mark.slow
def test_a_model_without_a_linear_head_is_refused(images: torch.Tensor) -> None:
    network = small_cnn()
    deep = nn.Sequential(*list(network)[:-1], nn.Linear(16, 8), Sine(), nn.Linear(8, 3)).eval()
    with pytest.raises(NotLinearError, match="PartPrototypes"):
        lt.PartPrototypes().fit(lt.split(deep, example=images[:4]), images)


@pytest.mark.slow
def test_bad_marks_are_listed_and_the_rest_is_used(
    model: lt.SplitModel, source: lt.Images, images: torch.Tensor, marks: lt.Marks
) -> None:
    worse = lt.Marks.of(
        {
            41: {"": (0, 0, 4, 4)},
            43: {"square": (100, 100, 120, 120)},
            45: {"square": (0, 0, 8, 8), "disc": (0, 0, 8, 8)},
            1000: {"square": (0, 0, 4, 4)},
        }
    )
    both = lt.Marks(images=marks.images + worse.images)
    bank = lt.PartPrototypes(algorithm="named", n_prototypes=2).fit(model, source, parts=both)
    reasons = " ".join(reason for _, reason in bank.provenance.skipped)
    assert "names no part" in reasons
    assert "lies outside the image" in reasons
    assert "marked as 'square' and as 'disc'" in reasons
    assert "no image of that name" in reasons
    assert bank.provenance.measures["marked_images"] == 20
    check_exact(bank, model, images)
    with pytest.raises(InputError, match="must mark at least one part on one of the images, got none that can be used"):
        lt.PartPrototypes(algorithm="named").fit(model, source, parts=worse)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["box", "point", "outline"])
def test_boxes_points_and_outlines_teach_as_masks_do(
    kind: str, model: lt.SplitModel, source: lt.Images, images: torch.Tensor
) -> None:
    found: dict[str | int, dict[str, Any]] = {}
    for index in range(40):
        rows, columns = np.nonzero(images[index].amax(0).numpy() > 0.95)
        left, right = int(np.median(columns)) // 4 * 4, int(np.median(columns)) // 4 * 4 + 4
        top, bottom = int(np.median(rows)) // 4 * 4, int(np.median(rows)) // 4 * 4 + 4
        forms = {
            "box": (left, top, right, bottom),
            "point": (left + 1.5, top + 1.5),
            "outline": [(left, top), (right - 1, top), (right - 1, bottom - 1), (left, bottom - 1)],
        }
        found[index] = {"square": forms[kind]}
    bank = lt.PartPrototypes(algorithm="named", n_prototypes=2).fit(model, source, parts=lt.Marks.of(found))
    assert bank.provenance.measures["probe_accuracy"] > 0.85


def test_a_stream_has_no_marks(model: lt.SplitModel, images: torch.Tensor, marks: lt.Marks) -> None:
    with pytest.raises(InputError, match="readable twice for algorithm='named', got a stream"):
        lt.PartPrototypes(algorithm="named").fit(model, iter(images), parts=marks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_parts": 0}, "`n_parts` must be a whole number of at least 1, got 0"),
        ({"n_parts": "many"}, "`n_parts` must be a whole number"),
        ({"algorithm": "nmf"}, "`algorithm` must be one of 'auto', .*'superclasses', 'regions', got 'nmf'"),
        ({"sharing": "fair"}, "`sharing` must be one of 'closed-form'"),
        ({"ridge": 0}, "`ridge` must be a number above 0, got 0"),
        ({"cells_per_class": 3}, "at least 16, got 3"),
    ],
    ids=str,
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.PartPrototypes(**options)


@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        ({"algorithm": "named"}, {}, "`parts` must be marks of parts for algorithm='named', got None"),
        ({}, {"parts": lt.Marks.of({})}, "`algorithm` must be 'named' where `parts` are given"),
        ({"algorithm": "named"}, {"parts": {"a": 1}}, "`parts` must be likethat.Marks, got {'a': 1}"),
        ({}, {"labels": "guessed"}, "None, 'given', 'predicted' or one class an image, got 'guessed'"),
        ({}, {"labels": [0, 1]}, "at least 90, got torch.int64"),
        ({}, {"labels": [7] * 90}, "`labels` must be from 0 to 2"),
        ({}, {"resume": True}, "`checkpoint` must name the folder"),
    ],
    ids=str,
)
def test_bad_calls(
    options: dict[str, Any], call: dict[str, Any], message: str, model: lt.SplitModel, images: torch.Tensor
) -> None:
    with pytest.raises(InputError, match=message):
        lt.PartPrototypes(**options).fit(model, images, **call)
