"""What the training of a generator can be told, and what decides the weights of one of images."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from likethat._options import check_columns, shown
from likethat.errors import InputError
from likethat.options.declaring import Declared, option, seed_option

_SURELY = 10.0  # a logit beyond which a share is 0 or 1 to four decimals


@dataclass(frozen=True, kw_only=True)
class VaeRecipe(Declared):
    """All that decides the weights of an image VAE, beside the data and the seed."""

    steps: int = option(6000, "of gradient descent", low=1)
    batch: int = option(16, "images a step", low=1)
    learning_rate: float = option(8e-4, "at its highest; a warm-up, then a cosine", with_low=False)
    scale: float = option(
        0.06,
        "width of the Laplace likelihood of a pixel, in [0, 1]; smaller keeps more detail in the latent",
        high=1.0,
        with_low=False,
    )
    polish: float = option(
        0.4, "share of the steps at the end with a critic, for sharp edges; 0 for none", high=1.0, with_high=False
    )
    matching: float = option(0.5, "weight of what the critic's layers see, against the pixels")
    fooling: float = option(0.02, "weight of its verdict")
    kl: float = option(1.0, "weight of the Kullback-Leibler term")


@dataclass(frozen=True, kw_only=True)
class FlowRecipe(Declared):
    """All that decides the weights of an image flow, beside the data and the seed."""

    steps: int = option(8000, "of gradient descent", low=1)
    batch: int = option(16, "images a step", low=1)
    learning_rate: float = option(1e-3, "at its highest; a warm-up, then a cosine", with_low=False)
    time_mean: float = option(
        0.3, "of the logit of the times trained on; above 0 sees more noise", low=-_SURELY, high=_SURELY
    )


_RECIPES: Mapping[str, type[Declared]] = {"vae": VaeRecipe, "flow": FlowRecipe}


@dataclass(frozen=True, eq=False)
class ImageTraining(Declared):
    """The options of training a generator of images."""

    _: KW_ONLY
    algorithm: Literal["vae", "flow"] = option(
        "vae", "one pass from a short latent (vae), or a denoiser too, crisper and slower (flow)"
    )
    size: int | tuple[int, int] | None = option(
        None,
        "pixels a side, or (height, width), to learn at; when left out the first image's, at most 64 a side",
        is_noted=False,
    )
    latent_dim: int | None = option(
        None, "length of a latent (vae); when left out 64; a flow's latent is its start noise", low=1
    )
    steps: int | None = option(
        None, "of gradient descent, at most; when left out what suits the number of images", low=1
    )
    mirror: bool = option(
        False,
        "also show images left to right; where that makes other images (letters, digits), leave it off",
    )
    prior: Literal["mixture", "kernels"] = option(
        "mixture",
        "of the latents (vae): a few wide clouds; or a narrow one round each of 2,000 encodings, which follows data of "
        "many separate kinds but keeps encodings of training images: not where those are private",
    )
    recipe: Any = option(
        None, "a `VaeRecipe` or `FlowRecipe`: batch, learning rate and the like, `steps` included", is_noted=False
    )
    config: Any = option(None, "widths of the networks; when left out what suits their size", is_noted=False)
    device: str | object = option("cpu", "where to train", is_noted=False)
    seed: int = seed_option("the same seed, the same weights on the same machine")

    def check_together(self) -> None:
        """Refuse what an algorithm does not have, and a device that is not there."""
        from likethat._checks import check_device  # late: it brings torch

        object.__setattr__(self, "device", str(check_device(self.device)))
        recipe = _RECIPES[self.algorithm]
        if not isinstance(self.recipe, recipe | None):
            raise InputError(f"`recipe` must be a {recipe.__name__} or None, got {shown(self.recipe)}.")
        of_vae = {"latent_dim": None, "prior": "mixture"}
        said = next((name for name, usual in of_vae.items() if getattr(self, name) != usual), None)
        if self.algorithm == "flow" and said:
            raise InputError(
                f"`{said}` must be left out for algorithm='flow', whose latent is its start noise, got "
                f"{shown(getattr(self, said))}."
            )


@dataclass(frozen=True, eq=False)
class TableTraining(Declared):
    """The options of training a generator of table rows."""

    _: KW_ONLY
    latent_dim: int | None = option(None, "length of a latent; when left out as many as the columns differ in", low=1)
    epochs: int | None = option(
        None, "passes over the rows, at most; when left out 1,500 to 8,000 steps, by the number of rows", low=1
    )
    dates: list[str] | None = option(
        None, "columns of dates, of a CSV file; the flag may be repeated", flags=("--date",), metavar="COLUMN"
    )
    quality: bool = option(
        True,
        "measure the generator on rows that it does not learn from: of 2,000 rows and more on a tenth, at most 1,000",
    )
    folds: bool = option(
        False, "measure one of fewer than 2,000 rows too, by four more trainings, each without a quarter of the rows"
    )
    seed: int = seed_option("the same seed, the same generator on the same machine")

    def check_together(self) -> None:
        """Refuse dates that are no names of columns."""
        if self.dates is not None:
            check_columns(self.dates, name="dates")


@dataclass(frozen=True, eq=False)
class TextTraining(Declared):
    """The options of training a generator of texts."""

    _: KW_ONLY
    latent_dim: int | None = option(None, "length of a latent; when left out 32, fewer for few texts", low=1)
    epochs: int | None = option(
        None, "passes over the texts, at most; when left out 800 to 6,000 steps, by the number of texts", low=1
    )
    max_tokens: int = option(
        64, "words and signs a text has at most; longer ones are cut, and the card says how many", low=1
    )
    seed: int = seed_option("the same seed, the same generator on the same machine")
