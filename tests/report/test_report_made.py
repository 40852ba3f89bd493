"""Pages of banks made without data: the controls stand beside the prototypes, and nothing speaks of data."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_samples import NASTY, bank, explanation, picture, prototype, provenance
from test_report_html import check

import likethat as lt
from likethat.explanations import ImageStore
from likethat.report import bank_figure, save_bank, save_explanation
from likethat.report.made import controls_view

MEASURES = {
    "purity": 0.5,
    "purity_of_samples": 0.4,
    "climbing_channels": 1.0,
    "dead_channels": 0.0,
    "generator_calls": 1780.0,
    "coverage_of_4": 0.3,
    "control_prior_purity": 0.42,
    "control_random_purity": 0.2,
    "purity_beside_random": 0.51,
}


def made(measures: dict[str, float] | None = None, *, options: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Unit 0, the least used of three, is the one that climbed."""
    found = [prototype(0, rank, image=f"made-{rank}", source="made for channel 0, climbed 12 steps") for rank in (0, 1)]
    found += [prototype(0, 0, kind="negative", image="sample-3")]
    found += [prototype(unit, rank, image=f"sample-{unit + rank}") for unit in (1, 2) for rank in (0, 1)]
    names = {item.image for item in found}
    about = provenance(
        method="ProDG",
        options={"steps": 12, "target": 1, "controls": True} if options is None else options,
        n_images=1000,
        is_made=True,
        measures=MEASURES if measures is None else measures,
    )
    images = ImageStore({name: picture(place) for place, name in enumerate(sorted(names))})
    return bank(prototypes=tuple(found), images=images, provenance=about, **changes)


def test_three_bars_with_their_numbers(tmp_path: Path) -> None:
    page = check(save_bank(made(), tmp_path / "bank.html"))
    assert "Is it the classifier, or the generator?" in page.said
    assert re.findall(r'<dd class="number">([^<]*)</dd>', page.text) == ["0.50", "0.42", "0.20"]
    assert re.findall(r'<b class="total" style="width:([\d.]*)%"></b></dd>', page.text) == ["50.0", "42.0", "20.0"]
    assert "The samples that they began with have 0.40." in page.said
    assert "Chosen among 1,780 plain samples" in page.said
    assert "these prototypes have 0.51" in page.said
    assert 'class="warnings"' not in page.text


def test_what_climbed_comes_first_and_is_marked(tmp_path: Path) -> None:
    page = check(save_bank(made(), tmp_path / "bank.html"))
    order = [word for word in page.words if re.fullmatch(r"channel \d", word)]
    assert order == ["channel 0", "channel 2", "channel 1"]
    assert page.said.count("climbed 12 steps") == 1 + 2  # the mark, and where its two pictures came from
    headings = re.findall(r"<h2[^>]*>([^<]*)</h2>", page.text)
    assert headings[1:] == ["Channels that climbed for “gull”", "The other channels: the best of 1,000 samples"]
    assert "those that climbed first, then the most used" in page.said
    one = check(save_bank(made(), tmp_path / "one.html", limit=1))
    assert "1 of 3 channels in full" in one.said
    assert "The other channels: the best" not in one.said
    without = check(save_bank(made(options={"steps": 12, "target": None}), tmp_path / "all.html"))
    assert '<h2 dir="auto">Channels that climbed</h2>' in without.text


def test_nothing_speaks_of_data(tmp_path: Path) -> None:
    page = check(save_bank(made(), tmp_path / "bank.html"))
    assert "1,780 images made, none opened" in page.said
    assert "1 more is silent on all that the generator makes" in page.said
    assert "Samples made 1,000" in page.said
    why = check(save_explanation(explanation(provenance=made().provenance), tmp_path / "why.html"))
    for words in ("images seen", "among all seen", "data"):
        assert words not in page.said
        assert words not in why.said
    assert "pictures that a generator made" in why.said


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"control_random_purity": 0.49}, {"steps": 12}, "say nothing about the classifier"),
        ({"control_random_purity": 0.6}, {"steps": 12}, "say nothing about the classifier"),
        ({"control_random_purity": math.nan}, {"steps": 12}, "say nothing about the classifier"),
        ({"control_prior_purity": 0.48}, {"steps": 12}, "climbing has added little"),
        ({"control_prior_purity": 0.52}, {"steps": 12}, "climbing has added nothing"),
        ({"control_prior_purity": 0.5}, {"steps": 0}, "No prototype climbed"),
    ],
    ids=str,
)
def test_a_control_that_is_near_is_a_warning(
    changes: dict[str, float], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    page = check(save_bank(made({**MEASURES, **changes}, options=options), tmp_path / "bank.html"))
    assert page.text.count('class="warnings"') == 1
    assert said in page.said


def test_just_far_enough_is_no_warning() -> None:
    # 5 % of .5 is .025; random weights are compared with .51 on their own channels
    far = provenance(method="ProDG", measures=MEASURES | {"control_prior_purity": 0.474, "control_random_purity": 0.48})
    near = replace(far, measures=MEASURES | {"control_prior_purity": 0.476, "control_random_purity": 0.485})
    far_view, near_view = controls_view(far), controls_view(near)
    assert far_view is not None
    assert near_view is not None
    assert (len(far_view.warnings), len(near_view.warnings)) == (0, 2)


def test_controls_that_were_not_run_are_missed(tmp_path: Path) -> None:
    own = {name: value for name, value in MEASURES.items() if "control" not in name}
    without = check(save_bank(made(own, options={"steps": 12, "controls": False}), tmp_path / "none.html"))
    assert "The controls were not run (controls=False)" in without.said
    assert len(re.findall(r"<dt>", without.text)) == 1
    half = check(save_bank(made(own | {"control_prior_purity": 0.4}), tmp_path / "half.html"))
    assert "The control with random weights was not run" in half.said


def test_another_method_on_made_images_says_that_they_were_made(tmp_path: Path) -> None:
    about = provenance(method="EPIC", is_made=True)
    page = check(save_bank(bank(provenance=about), tmp_path / "bank.html"))
    assert "60 samples made, no image was opened" in page.said
    assert "The controls were not run" in page.said
    assert "Its pictures are those among all that a generator made" in page.said
    for words in ("images seen", "among all seen", "climbed", "this data"):
        assert words not in page.said


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [lt.EPIC(n_prototypes=2), lt.PartPrototypes(n_parts=2)],
    ids=lambda one: type(one).__name__,
)
def test_a_fit_on_made_images_says_so_whoever_fitted(method: Any, tmp_path: Path) -> None:
    made_images = lt.Generated(lt.load_generator("zoo:digits"), 60)
    options = {} if isinstance(method, lt.EPIC) else {"labels": "predicted"}
    fitted = method.fit(lt.load("zoo:digits"), made_images, **options)
    page = check(fitted.save(tmp_path / "bank.html"))
    assert "60 samples made, no image was opened" in page.said
    assert "The controls were not run" in page.said
    assert "images seen" not in page.said


def test_strange_banks_have_a_page(tmp_path: Path) -> None:
    nothing = check(save_bank(made({}, options={}), tmp_path / "nothing.html"))
    assert "Is it the classifier" not in nothing.said
    assert "None of its 4 channels" in check(save_bank(replace(made(), prototypes=()), tmp_path / "0.html")).said
    below = check(save_bank(made({"purity": -0.25}), tmp_path / "below.html"))
    assert "−0.25" in below.said
    assert "width:0.0%" in below.text


def test_names_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    names = (NASTY, NASTY, NASTY)
    page = check(save_bank(made(class_names=names, unit_names=(NASTY,) * 4), tmp_path / "bank.html"))
    assert "<script" not in page.text
    odd = made(options={"steps": NASTY, "target": "gull", NASTY: NASTY})
    assert "<script" not in check(save_bank(odd, tmp_path / "odd.html")).text
    far = check(save_bank(made(options={"steps": 12, "target": 99}), tmp_path / "far.html"))
    assert "climbed for “class 99”" in far.said


def test_pages_of_other_methods_have_none_of_it(tmp_path: Path) -> None:
    page = check(save_bank(bank(), tmp_path / "bank.html"))
    assert "controls" not in page.text
    assert "climbed" not in page.text
    assert page.said.count("What each channel responds to") == 1
    assert "60 images seen" in page.said


def test_a_figure_begins_with_what_climbed() -> None:
    pytest.importorskip("matplotlib")
    figure = bank_figure(made(usage=np.arange(4, dtype=np.float32)), limit=1)
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes if axes.get_ylabel()] == ["channel 0"]
