"""Explain trained classifiers by prototypes and generated examples.

The public names are imported when they are first used, so that ``import likethat`` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from likethat._showing import plug
from likethat._version import __version__ as __version__

if TYPE_CHECKING:
    from likethat import errors, papers
    from likethat._progress import Progress
    from likethat._responses import Above, Below, Between, Label, Less, More, Response
    from likethat.auditing import audit, compare, repair
    from likethat.explainers import EPIC, Exemplars, FreeMCG, PartPrototypes, ProDG, explain, explain_all
    from likethat.explanations import Audit, Bank, Comparison, Explanation, Prototype, open, open_bank
    from likethat.generators import Denoiser, Generated, LatentGenerator, TextEdits, load_generator, train_generator
    from likethat.models import BlackBox, Preprocess, SplitModel, load, split
    from likethat.sources import ImageFolder, Images, Marks, Shards, creatures, digits

plug(lambda: importlib.import_module("likethat.report.results"))  # a module is a Reporter

_HOMES = {
    "EPIC": "likethat.explainers",
    "Exemplars": "likethat.explainers",
    "FreeMCG": "likethat.explainers",
    "PartPrototypes": "likethat.explainers",
    "ProDG": "likethat.explainers",
    "Audit": "likethat.explanations",
    "audit": "likethat.auditing",
    "Comparison": "likethat.explanations",
    "compare": "likethat.auditing",
    "repair": "likethat.auditing",
    "explain": "likethat.explainers",
    "explain_all": "likethat.explainers",
    "Bank": "likethat.explanations",
    "Explanation": "likethat.explanations",
    "Prototype": "likethat.explanations",
    "open": "likethat.explanations",
    "open_bank": "likethat.explanations",
    "Progress": "likethat._progress",
    "Above": "likethat._responses",
    "Below": "likethat._responses",
    "Between": "likethat._responses",
    "Label": "likethat._responses",
    "Less": "likethat._responses",
    "More": "likethat._responses",
    "Response": "likethat._responses",
    "Denoiser": "likethat.generators",
    "Generated": "likethat.generators",
    "LatentGenerator": "likethat.generators",
    "TextEdits": "likethat.generators",
    "load_generator": "likethat.generators",
    "train_generator": "likethat.generators",
    "BlackBox": "likethat.models",
    "Preprocess": "likethat.models",
    "SplitModel": "likethat.models",
    "load": "likethat.models",
    "split": "likethat.models",
    "ImageFolder": "likethat.sources",
    "Shards": "likethat.sources",
    "Images": "likethat.sources",
    "Marks": "likethat.sources",
    "creatures": "likethat.sources.creatures",
    "digits": "likethat.sources.digits",
}

__all__ = [
    "EPIC",
    "Above",
    "Audit",
    "Bank",
    "Below",
    "Between",
    "BlackBox",
    "Comparison",
    "Denoiser",
    "Exemplars",
    "Explanation",
    "FreeMCG",
    "Generated",
    "ImageFolder",
    "Images",
    "Label",
    "LatentGenerator",
    "Less",
    "Marks",
    "More",
    "PartPrototypes",
    "Preprocess",
    "ProDG",
    "Progress",
    "Prototype",
    "Response",
    "Shards",
    "SplitModel",
    "TextEdits",
    "audit",
    "compare",
    "creatures",
    "digits",
    "errors",
    "explain",
    "explain_all",
    "load",
    "load_generator",
    "open",
    "open_bank",
    "papers",
    "repair",
    "split",
    "train_generator",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("errors", "papers"):
        return importlib.import_module(f"likethat.{name}")
    raise AttributeError(f"module 'likethat' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
