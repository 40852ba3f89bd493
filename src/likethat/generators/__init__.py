"""Where made inputs come from: generators with a latent, and denoisers."""

from likethat.generators.base import Denoiser, Encoder, LatentGenerator, SeededGenerator
from likethat.generators.generated import Generated
from likethat.generators.load import GENERATORS, load_generator
from likethat.generators.reading import inputs_like, read_input
from likethat.generators.samples import sample, write_samples
from likethat.generators.text.edits import TextEdits
from likethat.generators.text.masked_model import MaskedModelProposer
from likethat.generators.text.proposer import Proposal
from likethat.generators.train import train_generator
from likethat.search.base import Prior

__all__ = [
    "GENERATORS",
    "Denoiser",
    "Encoder",
    "Generated",
    "LatentGenerator",
    "MaskedModelProposer",
    "Prior",
    "Proposal",
    "SeededGenerator",
    "TextEdits",
    "inputs_like",
    "load_generator",
    "read_input",
    "sample",
    "train_generator",
    "write_samples",
]
