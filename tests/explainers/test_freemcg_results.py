"""From what was asked to what is shown: which rows, what they cost, and what to do next."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from asked import Told, archive_of, numbers

from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.results import curve_of, edit_of, edits_of, path_of, status_of
from likethat.explanations.status import Reason, Status

P = torch.tensor([[0.9, 0.1], [0.3, 0.7], [0.05, 0.95], [0.01, 0.99]], dtype=torch.float64)
SOURCE = numbers(0.0)


def asked(p: torch.Tensor = P, **options: Any) -> Archive:
    archive = archive_of(Told(answers=p), **options)
    archive.ask(numbers(*range(len(p))))
    return archive


def test_the_nearest_that_differ_are_shown_the_nearest_first() -> None:
    archive = asked(cost=lambda x: 4 - x.flatten())
    edits = edits_of(SimpleNamespace(is_table=False), archive, SOURCE, confidence=0.5, target_margin=0.0, n=2)  # type: ignore[arg-type]
    assert archive.found == [3]  # 2 and 1 are within .4 of 3
    archive.dissimilarity = lambda x, other: (x - other).flatten().abs()
    edits = edits_of(SimpleNamespace(is_table=False), archive, SOURCE, confidence=0.5, target_margin=0.0, n=2)  # type: ignore[arg-type]
    assert archive.found == [3, 2]
    assert [float(edit.probabilities[1]) for edit in edits] == [0.99, 0.95]
    assert len(edits_of(SimpleNamespace(is_table=False), archive, SOURCE, confidence=0.5, target_margin=0.0, n=9)) == 3  # type: ignore[arg-type]


def test_those_as_sure_as_was_asked_come_before_nearer_ones() -> None:
    archive, space = asked(cost=lambda x: x.flatten()), SimpleNamespace(is_table=False)
    archive.dissimilarity = lambda x, other: (x - other).flatten().abs()
    for n, rows in ((2, [2, 3]), (3, [1, 2, 3])):  # 1 has .7 alone: it fills up what is missing
        edits_of(space, archive, SOURCE, confidence=0.9, target_margin=0.5, n=n)  # type: ignore[arg-type]
        assert archive.found == rows


def test_an_edit_tells_how_far_it_is() -> None:
    archive = asked()
    image = SimpleNamespace(is_table=False)
    edit, source_again = (edit_of(image, archive, row, SOURCE) for row in (2, 0))  # type: ignore[arg-type]
    assert (edit.l1, edit.l2) == (pytest.approx(0.2), 2.0)  # `distance` is a tenth of the value; all pixels moved by 2
    assert edit.is_valid
    assert not source_again.is_valid
    assert (edit.changes, edit.broken, edit.share_as_odd) == ((), (), None)


def test_texts_are_as_far_as_the_root_of_the_words_that_differ() -> None:
    archive = archive_of(Told(), distance=lambda x: torch.tensor([0.25]), cost=lambda x: torch.tensor([0.25]))
    archive.inputs, archive.points = [["a good film"]], [None]
    archive.probabilities, archive.distances = P[1:2], torch.tensor([0.25], dtype=torch.float64)
    edit = edit_of(SimpleNamespace(is_table=False), archive, 0, ["a bad film"])  # type: ignore[arg-type]
    assert (edit.l1, edit.l2) == (0.25, 0.5)
    assert [(change.before, change.after) for change in edit.changes] == [("a bad film", "a good film")]
    assert edit_of(SimpleNamespace(is_table=False), archive, 0, ["a good film"]).changes == ()  # type: ignore[arg-type]


def test_a_path_without_a_target_is_of_all_other_classes() -> None:
    archive = asked()
    assert path_of(archive).probability.tolist() == pytest.approx([0.1, 0.7, 0.95, 0.99])
    assert path_of(archive).queries.tolist() == [1, 2, 3, 4]
    assert path_of(archive).distance.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    three = asked(torch.tensor([[0.2, 0.7, 0.1]], dtype=torch.float64), target=None, source_class=1)
    assert path_of(three).probability.tolist() == pytest.approx([0.3])


def test_what_each_confidence_costs() -> None:
    archive = asked()  # the second row has one column that leaps
    columns = {0.0: [0, 0, 0], 1.0: [1, 0, 0], 2.0: [2, 0, 0], 3.0: [1, 1, 1]}

    def by_column(rows: torch.Tensor) -> torch.Tensor:
        return torch.tensor([columns[row] for row in rows.flatten().tolist()])

    curve = curve_of(archive, by_column)
    assert [item.confidence for item in curve] == [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98]
    assert [item.n_columns for item in curve] == [1, 1, 1, 1, 1, 1, 3]
    assert [item.l1 for item in curve] == pytest.approx([0.1] * 3 + [0.2] * 3 + [0.3])
    archive.reals = torch.tensor([True, True, True, False])
    assert curve_of(archive, by_column)[-1].confidence == 0.95  # what could not be real serves no demand
    assert curve_of(asked(P[:1]), by_column) == ()


def ended(archive: Archive, reason: str, *, n: int = 1, confidence: float = 0.9) -> Status:
    return status_of(archive, reason=Reason(reason), error="The server is gone.", n=n, confidence=confidence)


@pytest.mark.parametrize(
    ("found", "n", "reason", "confidence", "expected", "words"),
    [
        ([2], 1, "reached", 0.9, (True, "reached"), ""),
        ([2], 1, "budget", 0.95 - 1e-9, (True, "reached"), ""),
        ([1], 1, "reached", 0.9, (True, "less confident"), "probability 0.70; 0.90 was asked for"),
        ([2, 1], 2, "reached", 0.9, (True, "less confident"), "probability 0.70; 0.90 was asked for"),
        ([2], 3, "reached", 0.9, (False, "budget"), "1 of 3 different counterfactuals were found. Give more budget."),
        ([2], 1, "interrupted", 0.9, (True, "interrupted"), "4 queries: the nearest counterfactual so far is shown"),
        ([], 1, "interrupted", 0.9, (False, "interrupted"), "no counterfactual was found yet; the likeliest is shown"),
        ([], 1, "budget", 0.9, (False, "budget"), "The highest probability of the target was 0.99. Give more budget, "),
        ([], 1, "collapsed", 0.9, (False, "collapsed"), "the same answer to every particle"),
        ([], 1, "no progress", 0.9, (False, "no progress"), "the same inputs again and again"),
        ([], 1, "failed", 0.9, (False, "failed"), "The server is gone."),
    ],
)
def test_how_it_ended(
    found: list[int], n: int, reason: str, confidence: float, expected: tuple[bool, str], words: str
) -> None:
    archive = asked()
    archive.found = found
    status = ended(archive, reason, n=n, confidence=confidence)
    assert (status.reached, str(status.reason)) == expected
    assert words in status.advice
    assert bool(status.advice) == bool(words)


def test_where_typical_rows_were_asked_in_vain_it_is_said() -> None:
    archive = asked(P[:2])
    archive.n_typical = 1
    told = ended(archive, "budget").advice
    assert told.startswith("Of 2 inputs asked, 1 of them as the generator makes them anywhere")
    archive.distances = torch.cat([archive.distances, archive.distances])  # as rows whose answers were known count
    assert ended(archive, "budget").advice.startswith("Of 2 inputs asked")
    assert "the highest probability of the target was 0.70" in told
    archive.found = [1]
    assert ended(archive, "budget", n=2).reason == Reason.BUDGET  # one was found: it is within reach


def test_labels_alone_are_named_as_the_reason() -> None:
    archive = asked(torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64))
    assert ended(archive, "collapsed").reason == Reason.HARD_LABELS
    assert ended(archive, "failed").reason == Reason.FAILED


def test_the_least_confidence_that_counts_is_the_one_asked_for() -> None:
    archive = asked()
    archive.found = [1]
    exact = float(P[1, 1])
    assert math.isclose(float(archive.margins[1]), math.log(exact / (1 - exact)))
    assert ended(archive, "reached", confidence=exact - 1e-6).reason == Reason.REACHED
    assert ended(archive, "reached", confidence=exact + 1e-6).reason == Reason.LESS_CONFIDENT
