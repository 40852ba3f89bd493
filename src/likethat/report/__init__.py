"""Explanations and banks as pages and figures."""

from likethat.report.figures import bank_figure, explanation_figure
from likethat.report.pages import save_bank, save_explanation, save_gallery
from likethat.report.parts import save_classes

__all__ = ["bank_figure", "explanation_figure", "save_bank", "save_classes", "save_explanation", "save_gallery"]
