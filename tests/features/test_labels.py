"""Labels as classes of the model, the accuracy on them, and what the images are like."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from likethat.features.data import describe, remarks
from likethat.features.labels import match_labels, names_borne_out
from likethat.features.rows import Rows
from likethat.sources.base import Skipped


def rows(labels: list[int], predicted: list[int], **more: Any) -> Rows:
    n = len(labels)
    columns: dict[str, Any] = {
        "names": [f"{index}.png" for index in range(n)],
        "indices": torch.arange(n),
        "labels": torch.tensor(labels),
        "predicted": torch.tensor(predicted),
        "means": torch.zeros(n, 2),
        "pooled": torch.zeros(n, 2),
        "label_names": [None] * n,
        "facts": torch.tensor([[3, 8, 8, 0.0, 1.0, 0.5, 1.0, 0.1, 0.2]] * n),
        "digests": torch.arange(n),
        "sketches": torch.zeros(n, 0, dtype=torch.uint8),
    }
    return Rows(**columns | more)


def test_numbers_are_indices_and_those_beyond_are_none() -> None:
    found = match_labels(rows([0, 2, 5, -1], [0, 1, 0, 0]), (), ["a", "b", "c"])
    assert found.classes.tolist() == [0, 2, -1, -1]
    assert found.row["accuracy"] == 0.5  # of the two that have a label
    assert found.row["beyond"] == 5
    assert "1 image has no label" in found.notes[0]


@pytest.mark.parametrize(("right", "warns"), [(20, False), (13, False), (12, True), (0, True)])
def test_near_chance(right: int, warns: bool) -> None:
    # Two classes, 20 images, guessing .5: 12 right are (.6 - .5) / .5 = .2 of the way to all, 13 are .3.
    labels = [index % 2 for index in range(20)]
    predicted = [label if index < right else 1 - label for index, label in enumerate(labels)]
    warning = match_labels(rows(labels, predicted), (), ["a", "b"]).warning
    assert ("The model gives only" in warning) == warns


def test_a_few_images_say_nothing() -> None:
    assert match_labels(rows([0] * 9, [1] * 9), (), ["a", "b"]).warning == ""
    assert match_labels(rows([0] * 10, [1] * 10), (), ["a", "b"]).warning != ""


@pytest.mark.parametrize(
    ("right", "n", "given", "taken"),
    [(20, 20, ["ant", "bee"], True), (15, 20, ["ant", "bee"], True), (14, 20, ["ant", "bee"], False),
     (9, 9, ["ant", "bee"], False), (20, 20, ["1", "0"], False), (20, 20, ["ant", "bee", "cat"], False)],
)  # fmt: skip
def test_classes_without_names_are_called_as_the_images_are_where_the_model_knows_them(
    right: int, n: int, given: list[str], taken: bool
) -> None:
    """Two classes, guessing .5: 15 of 20 are half of the way."""
    labels = [index % 2 for index in range(n)]
    predicted = [label if index < right else 1 - label for index, label in enumerate(labels)]
    known = ["class 0", "class 1"]
    found = match_labels(rows(labels, predicted, label_names=[given[label] for label in labels]), given, known)
    told = torch.tensor(predicted)
    assert names_borne_out(found, told, known) == (tuple(given) if taken else ())
    assert names_borne_out(found, told, ["ant", "bee"]) == ()
    assert names_borne_out(replace(found, warning="The model hardly knows one."), told, known) == ()
    assert names_borne_out(replace(found, row={}), told, known) == ()


def test_each_class_must_be_known_before_any_is_named() -> None:
    """Two rare classes in the other order: most images are right, and both names would be wrong."""
    names, known = ["ant", "bee", "cow", "dog"], [f"class {index}" for index in range(4)]
    labels = [0] * 40 + [1] * 40 + [2] * 9 + [3] * 9
    turned = [{2: 3, 3: 2}.get(label, label) for label in labels]
    for predicted, wanted in ((labels, tuple(names)), (turned, ())):
        given = rows(labels, predicted, label_names=[names[label] for label in labels])
        assert names_borne_out(match_labels(given, names, known), torch.tensor(predicted), known) == wanted


def test_the_data_by_hand() -> None:
    facts = torch.tensor([[3, 8, 16, 0.0, 0.125, 0.0625, 0.125], [1, 4, 4, 0.125, 0.125, 0.125, 0.0]])
    given = rows([0, 1], [0, 1], facts=facts, digests=torch.tensor([7, 7]))
    data = describe(given, [Skipped(name="x", reason="is empty")], n_channels=3, view=(8, 8))
    assert data["sizes"] == {"smallest": [4, 4], "largest": [16, 8], "different": 2}
    assert (data["images"], data["used"], data["enlarged"]) == (3, 2, 1)
    assert data["brightness"] == {"lowest": 0.0, "highest": 0.125, "mean": 0.0938, "flat": 1}  # .09375
    assert data["duplicates"] == {"images": 1, "under_several_labels": 1, "first": [["0.png", "1.png"]]}
    assert [note[:9] for note in remarks(data)] == ["There are", "The image", "1 image i", "1 image i"]
