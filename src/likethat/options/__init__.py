"""What each method can be told, declared once; nothing heavy is imported, so that a command's help comes at once."""

from likethat.options.epic import EPICOptions, PaperEPICOptions
from likethat.options.parts import PartsOptions
from likethat.options.prodg import ProDGOptions

__all__ = ["EPICOptions", "PaperEPICOptions", "PartsOptions", "ProDGOptions"]
