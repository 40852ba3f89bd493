"""Pages of counterfactuals and attributions: nothing comes from outside, nothing a name says is obeyed."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from report_samples import NASTY

from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Change, Counterfactual, Edit, SearchPath
from likethat.explanations.status import Reason, Status
from likethat.report.attribution import _on_paper, _panels
from likethat.report.counterfactual import film_of

PATH = SearchPath(
    queries=np.arange(1, 6), probability=np.array([0.1, 0.4, 0.2, 0.9, 0.95]), distance=np.zeros(5)
)  # fmt: skip


def image_result() -> Counterfactual:
    source, changed = torch.full((1, 3, 8, 8), 0.2), torch.full((1, 3, 8, 8), 0.2)
    changed[0, 0, 2:5, 2:5] = 0.9
    edit = Edit(input=changed, probabilities=np.array([0.1, 0.9]), l1=0.03, l2=0.1, is_valid=True)
    return Counterfactual(
        source=source, source_probabilities=np.array([0.8, 0.2]), target=1, class_names=("cat", NASTY), edits=(edit,),
        best=edit, mean=edit, mask=None, path=PATH, queries=5, seconds=0.1,
        status=Status(reached=True, reason=Reason.REACHED), model=NASTY, generator="flow", rule="kalman", seed=0,
        notes=(NASTY,),
    )  # fmt: skip


def table_result() -> Counterfactual:
    frame = pd.DataFrame({"age": [41], NASTY: ["x"]})
    changes = (Change(name="age", before=41, after=44), Change(name=NASTY, before="x", after=NASTY))
    edit = Edit(input=frame, probabilities=np.array([0.4, 0.6]), l1=1, l2=1, is_valid=True, changes=changes)
    return replace(image_result(), source=frame, edits=(edit,), best=edit, mean=None)


def heat() -> Attribution:
    rng = np.random.default_rng(0)
    return Attribution(
        image=rng.random((3, 8, 8), dtype=np.float32), probabilities=np.array([0.3, 0.7]), target=1,
        class_names=("cat", NASTY), heat_map=rng.normal(size=(8, 8)).astype(np.float32),
        error=np.full((8, 8), 0.4, np.float32), queries=60, seconds=0.1, method="patches",
        status=Status(reached=False, reason=Reason.CONSTANT, advice=NASTY), model=NASTY, generator="none", seed=0,
    )  # fmt: skip


@pytest.mark.parametrize("make", [image_result, table_result, heat])
def test_a_page_loads_nothing_and_escapes_everything(make: object, tmp_path: Path) -> None:
    page = make().save(tmp_path / "page.html").read_text("utf-8")  # type: ignore[operator]
    assert NASTY not in page
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert not re.findall(r'(?:src|href|srcset)="(?!data:image/(?:png|jpeg);base64,|#)', page)


def test_the_film_moves_only_for_those_who_like_it(tmp_path: Path) -> None:
    page = image_result().save(tmp_path / "page.html").read_text("utf-8")
    assert 'media="(prefers-reduced-motion: reduce)"' in page
    frames = image_result().frames(6)
    with Image.open(io.BytesIO(film_of(frames))) as film:
        assert film.n_frames == 10  # type: ignore[attr-defined]  # there and back
    np.testing.assert_allclose(frames[0], 0.2, atol=1e-6)


def test_changes_are_said_in_words(tmp_path: Path) -> None:
    assert str(Change(name="age", before=41, after=44)) == "age rises from 41 to 44"
    assert str(Change(name="rate", before=0.25, after=0.125)) == "rate falls from 0.25 to 0.125"
    assert str(Change(name="job", before="clerk", after="chief")) == "job changes from clerk to chief"
    assert "2 of 2 columns change" in table_result().save(tmp_path / "page.html").read_text("utf-8")


def test_what_was_not_reached_is_said_first(tmp_path: Path) -> None:
    missed = replace(image_result(), edits=(), status=Status(reached=False, reason=Reason.BUDGET, advice="Give more."))
    page = missed.save(tmp_path / "page.html").read_text("utf-8")
    assert "did not become" in page
    assert "budget: Give more." in page


def test_what_is_less_than_asked_for_is_said_in_a_sentence(tmp_path: Path) -> None:
    weak = replace(image_result(), status=Status(reached=True, reason=Reason.LESS_CONFIDENT, advice="With 0.78 only."))
    page = weak.save(tmp_path / "page.html").read_text("utf-8")
    assert "<p>With 0.78 only.</p>" in page
    assert 'class="warnings"' not in image_result().save(tmp_path / "page.html").read_text("utf-8")


def test_figures() -> None:
    assert len(image_result().figure().axes) == 3
    assert len(table_result().figure().axes) == 1
    assert len(heat().figure().axes) == 4
    assert heat().figure()._repr_png_().startswith(b"\x89PNG")  # what a notebook shows


def test_a_heat_map_is_told_from_the_colours_of_its_picture() -> None:
    # a blue picture: without heat it is printed in pale grey; blue of the map stands for "for", orange for "against"
    picture = np.zeros((1, 3, 3), np.uint8)
    picture[..., 2] = 255
    shown = _on_paper(picture, np.array([[0.0, 1.0, -1.0]], np.float32), 1.0).astype(int)[0]
    assert shown[0].tolist() == [176, 176, 176]  # .35 (.114 * 255) + .65 * 255 = 175.9
    assert shown[1, 2] > shown[1, 0] + 80
    assert shown[2, 0] > shown[2, 2] + 80
    found = heat()
    pale = replace(found, heat_map=np.zeros((8, 8), np.float32))
    assert len(_panels(pale)) == 4
