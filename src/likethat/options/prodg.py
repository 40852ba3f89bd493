"""What ProDG can be told."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from likethat.errors import InputError
from likethat.options.declaring import Declared, given, option, seed_option

_CLIMB = "The climb"


@dataclass(frozen=True, eq=False)
class ProDGOptions(Declared):
    """The options of `likethat.ProDG`."""

    moved: ClassVar[Mapping[str, str]] = {
        "search": "It is `algorithm` now.",
        "solver": "The rotation by gradient ascent is likethat.papers.ProDG.",
    }

    generator: Any = given(
        "from `likethat.load_generator`: a VAE, a flow, a diffusers pipeline by its prompt, its label or its start "
        "noise, or any function of latents"
    )
    n_prototypes: int = option(5, "images a channel", low=1)
    _: KW_ONLY
    n_samples: int = option(1000, "samples of the prior that are looked through first", low=3, panel="The generator")
    steps: int = option(12, "of the climb, for each prototype; 0 stays with the samples", panel=_CLIMB)
    algorithm: Literal["auto", "gradient", "evolution", "cma-es"] = option(
        "auto",
        "how prototypes climb; evolution and cma-es need no gradient, auto takes the gradient where there is one",
        panel=_CLIMB,
    )
    step: float = option(
        0.05, "length of a step, in standard deviations of the prior", with_low=False, flags=("--step",), panel=_CLIMB
    )
    closeness: float = option(
        0.1, "weight of the mean squared distance from the sample that a prototype began as", panel=_CLIMB
    )
    diversity: float = option(
        0.1, "weight of the mean cosine between the pooled features of a channel's images", panel=_CLIMB
    )
    batch: int = option(16, "images that climb together", low=1, panel=_CLIMB)
    controls: bool = option(
        True,
        "also run on the network with random weights, and choose among as many prior samples as images were made: "
        "without both, nobody knows whether the classifier or the generator is seen",
        panel=_CLIMB,
    )
    mixed_precision: bool = option(False, "bfloat16 inside generator and model while climbing; for a GPU", panel=_CLIMB)
    seed: int = seed_option("the same seed, the same bank")

    def check_together(self) -> None:
        """Refuse fewer samples than prototypes, and a gradient that the generator does not have."""
        if self.n_samples < self.n_prototypes:
            raise InputError(
                f"`n_samples` must be a whole number of at least {self.n_prototypes}, the prototypes of a channel, got "
                f"{self.n_samples}."
            )
        if self.algorithm == "gradient" and not self.generator.differentiable:
            raise InputError(
                f"`algorithm` must be 'evolution' or 'cma-es' for {type(self.generator).__name__}, which has no "
                "gradients."
            )

    def options(self) -> dict[str, Any]:
        """Return the hyper-parameters, by name; of the generator, its class."""
        return {"generator": type(self.generator).__name__, **super().options()}
