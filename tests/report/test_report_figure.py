"""Figures for notebooks."""

from typing import Any

import numpy as np
import pytest
from report_samples import LONG, bank, explanation, prototype, row

from likethat import _checks
from likethat.errors import MissingExtraError
from likethat.explanations import Explanation
from likethat.report import bank_figure, explanation_figure

figure_module = pytest.importorskip("matplotlib.figure")


@pytest.mark.slow
@pytest.mark.parametrize(
    "why",
    [
        explanation(),
        explanation(shown=0),
        explanation([0.0], shown=1, bias=0.0),
        explanation([-2.0, 1.0], unlocated=[0.5, -0.5], against=1, class_names=("$x^$", "cost $5", "%")),
        explanation(rows=(row(0, 2.0, prototypes=()), row(1, 1.0, name=LONG)), source="$a$"),
        explanation(image=np.zeros((1, 24, 24), dtype=np.float32)),
    ],
)
def test_an_explanation_draws(why: Explanation) -> None:
    figure = explanation_figure(why)
    assert isinstance(figure, figure_module.Figure)
    figure.savefig(_nowhere(), dpi=20)


def test_it_says_the_same_numbers_as_the_page() -> None:
    figure = explanation_figure(explanation())
    upper = figure.axes[1]
    (numbers,) = upper.child_axes
    printed = [label.get_text() for label in numbers.get_yticklabels()]
    assert printed == ["+0.25", "+2.00", "+1.00", "+0.50", "−0.75", "+3.00"]
    assert len(figure.axes) == 2 + 2 * 3


@pytest.mark.parametrize("why", [bank(), bank(prototypes=()), bank(prototypes=(prototype(0, 0, kind="negative"),))])
def test_a_bank_draws(why: Any) -> None:
    figure = bank_figure(why, limit=2)
    assert isinstance(figure, figure_module.Figure)
    figure.savefig(_nowhere(), dpi=20)


def test_leaves_pyplot_alone() -> None:
    import matplotlib.pyplot as plt

    explanation_figure(explanation())
    assert plt.get_fignums() == []


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_checks.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"figure\(\) needs matplotlib.*pip install 'likethat\[figures\]'"):
        explanation_figure(explanation())


def _nowhere() -> Any:
    import io

    return io.BytesIO()
