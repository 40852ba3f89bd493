"""What each method can be told, declared once; nothing heavy is imported, so that a command's help comes at once."""

from likethat.options.audit import AuditOptions
from likethat.options.compare import CompareOptions
from likethat.options.epic import EPICOptions, PaperEPICOptions
from likethat.options.exemplars import ExemplarOptions
from likethat.options.freemcg import FreeMCGOptions, PaperFreeMCGOptions
from likethat.options.parts import PartsOptions
from likethat.options.prodg import ProDGOptions
from likethat.options.trainings import FlowRecipe, ImageTraining, TableTraining, TextTraining, VaeRecipe

__all__ = [
    "AuditOptions",
    "CompareOptions",
    "EPICOptions",
    "ExemplarOptions",
    "FlowRecipe",
    "FreeMCGOptions",
    "ImageTraining",
    "PaperEPICOptions",
    "PaperFreeMCGOptions",
    "PartsOptions",
    "ProDGOptions",
    "TableTraining",
    "TextTraining",
    "VaeRecipe",
]
