"""Which page and which figure belong to which result: the report as `likethat._showing` asks for it."""

from pathlib import Path
from typing import Any

from likethat.explanations import Bank, ExemplarSet, Explanation
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.word_attribution import WordAttribution
from likethat.report.attribution import attribution_figure, save_attribution
from likethat.report.counterfactual import counterfactual_figure, save_counterfactual
from likethat.report.exemplar_figures import exemplar_figure
from likethat.report.exemplars import save_exemplars
from likethat.report.figures import bank_figure, explanation_figure
from likethat.report.pages import save_bank, save_explanation
from likethat.report.word_attribution import save_word_attribution, word_attribution_figure

__all__ = ["figure", "save_page"]


def save_page(result: Any, path: Path, *, overwrite: bool = False) -> Path:
    """Write a result as one self-contained HTML file.

    Raises:
        InputError: a file stands there that likethat did not write, or that was changed since.
        TypeError: no result of ours.
    """
    match result:
        case Bank():
            return save_bank(result, path, overwrite=overwrite)
        case Explanation():
            return save_explanation(result, path, overwrite=overwrite)
        case ExemplarSet():
            return save_exemplars([result], path, overwrite=overwrite)
        case Counterfactual():
            return save_counterfactual(result, path, overwrite=overwrite)
        case Attribution():
            return save_attribution(result, path, overwrite=overwrite)
        case WordAttribution():
            return save_word_attribution(result, path, overwrite=overwrite)
    raise TypeError(f"no page shows a {type(result).__name__}")


def figure(result: Any) -> Any:
    """Draw a result as a matplotlib figure.

    Raises:
        TypeError: no result of ours.
    """
    match result:
        case Bank():
            return bank_figure(result)
        case Explanation():
            return explanation_figure(result)
        case ExemplarSet():
            return exemplar_figure(result)
        case Counterfactual():
            return counterfactual_figure(result)
        case Attribution():
            return attribution_figure(result)
        case WordAttribution():
            return word_attribution_figure(result)
    raise TypeError(f"no figure shows a {type(result).__name__}")
