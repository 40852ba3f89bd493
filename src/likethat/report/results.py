"""Which page and which figure belong to which result: the report as `likethat._showing` asks for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from likethat.explanations import Bank, ExemplarSet, Explanation
from likethat.explanations.attribution import Attribution
from likethat.explanations.audit import Audit
from likethat.explanations.comparison import Comparison
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.many import Many
from likethat.explanations.word_attribution import WordAttribution
from likethat.report.attribution import attribution_figure, attribution_page
from likethat.report.audit import audit_figure, audit_page
from likethat.report.comparison import comparison_figure, comparison_page
from likethat.report.counterfactual import counterfactual_figure, counterfactual_page
from likethat.report.exemplar_figures import exemplar_figure
from likethat.report.exemplars import exemplars_page
from likethat.report.figures import bank_figure, explanation_figure
from likethat.report.many import many_figure, save_many
from likethat.report.pages import Page, save_bank, save_explanation
from likethat.report.word_attribution import word_attribution_figure, word_attribution_page


def _written(page_of: Callable[[Any], Page]) -> Callable[..., Path]:
    return lambda found, path, overwrite: page_of(found).write(path, overwrite=overwrite)


_SHOWN: tuple[tuple[type[Any], Callable[..., Path], Callable[[Any], Any]], ...] = (
    (Bank, save_bank, bank_figure),
    (Explanation, save_explanation, explanation_figure),
    (ExemplarSet, _written(lambda found: exemplars_page([found])), exemplar_figure),
    (Counterfactual, _written(counterfactual_page), counterfactual_figure),
    (Attribution, _written(attribution_page), attribution_figure),
    (WordAttribution, _written(word_attribution_page), word_attribution_figure),
    (Audit, _written(audit_page), audit_figure),
    (Comparison, _written(comparison_page), comparison_figure),
    (Many, save_many, many_figure),
)
"""Each kind of result with what writes its page and what draws its figure."""


def save_page(result: Any, path: Path, *, overwrite: bool = False) -> Path:
    """Write a result as one self-contained HTML file.

    Args:
        result: what is shown.
        path: where the file goes.
        overwrite: replace any file of that name, not only one that likethat wrote.

    Raises:
        InputError: a file stands there that likethat did not write, or that was changed since.
        StorageError: the disk did not take it; nothing is left behind.
        TypeError: no result of ours.
    """
    for kind, save, _ in _SHOWN:
        if isinstance(result, kind):
            return save(result, path, overwrite=overwrite)
    raise TypeError(f"no page shows a {type(result).__name__}")


def figure(result: Any) -> Any:
    """Draw a result as a matplotlib figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
        TypeError: no result of ours.
    """
    for kind, _, draw in _SHOWN:
        if isinstance(result, kind):
            return draw(result)
    raise TypeError(f"no figure shows a {type(result).__name__}")
