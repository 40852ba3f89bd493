"""What FreeMCG can be told."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from likethat.options.declaring import Declared, option, seed_option


@dataclass(frozen=True, eq=False)
class FreeMCGOptions(Declared):
    """The options of `likethat.FreeMCG`."""

    moved: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("rule", "n_steps"), "The paper's sampler, and its release's, are likethat.papers.FreeMCG."),
        "method": "It is `algorithm` now.",
    }

    generator: Any = option(
        None,
        "a denoiser of images, a latent generator of images or tables, or `likethat.TextEdits` for texts; none is "
        "needed for an attribution of an image by patches, or of a text",
        is_noted=False,
    )
    _: KW_ONLY
    n_particles: int | None = option(
        None, "of a generation; when left out 16 for pictures of 64 pixels a side or more, else 10", low=2
    )
    confidence: float | None = option(
        None,
        "probability of the target, against the next class, that is enough; when left out 0.6 for rows of a table, the "
        "decision and a margin, for texts the decision, 0.5, and 0.98 for images, where changes below 0.95 often fool "
        "this model alone",
        low=0.5,
        high=1.0,
        with_high=False,
    )
    noise: float | None = option(
        None,
        "strongest noise of the particles, on images in [0, 1]: more finds classes that look quite different, less "
        "stays nearer; when left out 8 for pictures of 32 pixels a side, in proportion less for larger ones, and where "
        "the first generations make no progress the search restarts once with noise up to 8",
        with_low=False,
    )
    seed: int = seed_option()


@dataclass(frozen=True, eq=False)
class PaperFreeMCGOptions(FreeMCGOptions):
    """The options of `likethat.papers.FreeMCG`."""

    moved: ClassVar[Mapping[str, str]] = {"rule": "It is `algorithm` here."}

    _: KW_ONLY
    algorithm: Literal["paper", "release"] = option(
        "paper", "how particles are moved; release: each by its own term alone, as the code of the paper's authors does"
    )
    n_steps: int = option(25, "of the sampler", low=1)
