"""Pages of texts: the edit as a diff, how it reads, and nothing that turns text round."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from likethat.explanations.counterfactual import Change, Counterfactual, Edit, SearchPath
from likethat.explanations.status import Reason, Status
from likethat.explanations.word_attribution import WordAttribution
from likethat.report.counterfactual import counterfactual_page
from likethat.report.word_attribution import word_attribution_page

TURNS = "\u202e"  # the rest of a line is shown from right to left


def edit(text: str, *changes: Change) -> Edit:
    return Edit(
        input=[text], probabilities=np.array([0.6, 0.4]), l1=0.25, l2=0.5, is_valid=True, changes=tuple(changes)
    )


def found(oddness: float) -> Counterfactual:
    change = Change(name="", before="good", after="bad", oddness=oddness, place=2)
    best = edit(f"a bad <film>{TURNS} here", change)
    return Counterfactual(
        source=[f"a good <film>{TURNS} here"],
        source_probabilities=np.array([0.1, 0.9]),
        target=0,
        class_names=("no", "yes"),
        edits=(best,),
        best=best,
        mean=None,
        mask=None,
        path=SearchPath(queries=np.array([1, 2]), probability=np.array([0.1, 0.6]), distance=np.array([0.0, 0.25])),
        queries=2,
        seconds=1.0,
        status=Status(reached=True, reason=Reason.REACHED),
        model="judge",
        generator="edits from 3 texts",
        rule="edits",
        seed=0,
        options={},
        real=edit("a real one"),
    )


@pytest.mark.parametrize(
    ("oddness", "said"), [(0.4, "as before"), (-2.04, "better by 2.0 nats"), (3.26, "worse by 3.3 nats")]
)
def test_an_edit_is_a_diff_and_says_how_it_reads(oddness: float, said: str, tmp_path: Path) -> None:
    page = counterfactual_page(found(oddness)).write(tmp_path / "page.html").read_text("utf-8")
    assert "<del> good</del><ins> bad</ins>" in page
    assert f"<td>{said}</td>" in page
    assert "One edit, 75\u202f% of the words stay" in page
    assert "25\u202f% of the words differ" in page
    assert "The nearest real text" in page
    assert "L1" not in page


def test_no_text_is_turned_round_and_no_tag_is_one(tmp_path: Path) -> None:
    page = counterfactual_page(found(0.0)).write(tmp_path / "page.html").read_text("utf-8")
    text = f"a good{TURNS}"
    words = WordAttribution(
        text=text, starts=np.array([2]), stops=np.array([len(text)]), values=np.array([1.0]), error=np.array([0.1]),
        hidden_share=0.25, probabilities=np.array([0.1, 0.9]), target=1, class_names=("no", "yes"), queries=9,
        seconds=1.0, status=Status(reached=True, reason=Reason.REACHED), model="judge", seed=0,
    )  # fmt: skip
    for shown in (
        page,
        word_attribution_page(words).write(tmp_path / "words.html").read_text("utf-8"),
    ):
        assert TURNS not in shown
        assert "⟨U+202E⟩" in shown
    assert "&lt;film&gt;" in page


def test_an_edit_that_nobody_judged_says_nothing(tmp_path: Path) -> None:
    given = found(0.0)
    best = replace(given.best, changes=(replace(given.best.changes[0], oddness=None),))
    page = (
        counterfactual_page(replace(given, best=best, edits=(best,))).write(tmp_path / "page.html").read_text("utf-8")
    )
    assert "as before" not in page
