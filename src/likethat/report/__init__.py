"""Explanations and banks as pages and figures."""

from likethat.report.figures import bank_figure, explanation_figure
from likethat.report.pages import save_bank, save_explanation, save_gallery

__all__ = ["bank_figure", "explanation_figure", "save_bank", "save_explanation", "save_gallery"]
