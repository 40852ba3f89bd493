"""What EPIC can be told."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from likethat.options.declaring import Declared, option, seed_option


@dataclass(frozen=True, eq=False)
class EPICOptions(Declared):
    """The options of `likethat.EPIC`."""

    moved: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("solver", "schedule", "epochs", "learning_rate", "weight_decay", "batch"),
        "The paper's gradient ascent is likethat.papers.EPIC.",
    )

    n_prototypes: int = option(5, "images a channel, of the highest and of the lowest activation each", low=1)
    _: KW_ONLY
    mixing: Literal["orthogonal", "whitened"] = option(
        "orthogonal",
        "what the channels are mixed with: a rotation, or a whitening up to `condition` and then a rotation",
    )
    usage_weight: float = option(
        0.06,  # chosen on ResNet-20's training photos, where it costs no purity; measured on others (docs/methods.md)
        "0 for purity alone; towards 1 the channels that the logits use most count more, whatever their number, which "
        "buys coverage with purity",
    )
    condition: float = option(10.0, "largest condition number of the whitening", low=1)
    seed: int = seed_option(
        "of the draw when the maps of all images exceed the memory budget; the same seed, the same bank"
    )


@dataclass(frozen=True, eq=False)
class PaperEPICOptions(Declared):
    """The options of `likethat.papers.EPIC`; the defaults are the paper's."""

    n_prototypes: int = option(5, "images a channel, of the highest and of the lowest activation each", low=1)
    _: KW_ONLY
    mixing: Literal["orthogonal", "invertible"] = option("orthogonal", "expm(R - R^T), a rotation; or expm(R)")
    epochs: int = option(20, "over the prototypes; they are chosen anew ten times", low=1)
    learning_rate: float = option(1e-3, "Adam's")
    weight_decay: float = option(1e-5, "Adam's")
    batch: int = option(512, "prototypes a step", low=1)
    seed: int = seed_option("of the batches, and of the draw when the maps of all images exceed the memory budget")
