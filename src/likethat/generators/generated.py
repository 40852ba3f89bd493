"""Images that a generator makes, as a source: where given images would stand, made ones can."""

import hashlib
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._calls import public
from likethat._checks import check_count, check_finite, check_index, check_seed
from likethat._options import check_names, shown
from likethat._session import in_own_session
from likethat.errors import InputError, NonFiniteError
from likethat.generators.base import takes_seeds
from likethat.sources import Sample

_BLOCK = 16  # images made at a time: what has no latents and no seeds of its own is the same however it is read


def make_images(
    generator: Any, latents: Float[Tensor, "n latent"], *, seeds: list[int] | None = None
) -> Float[Tensor, "n channel height width"]:
    """Return a generator's images of latents, checked; differentiable where the generator is.

    Args:
        generator: makes images in [0, 1].
        latents: one an image.
        seeds: of each image's start noise, for generators that take them (`takes_seeds`).

    Raises:
        InputError: what comes out is no batch of images in [0, 1].
        NonFiniteError: NaN or infinity among them.
    """
    images = generator(latents, seeds=seeds) if seeds is not None and takes_seeds(generator) else generator(latents)
    name = type(generator).__name__
    if not isinstance(images, Tensor) or images.ndim != 4 or len(images) != len(latents):
        got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError(
            f"`generator` must make images (n, channel, height, width), one a latent, got {got} of {len(latents)} "
            f"latents from {name}."
        )
    low, high = float(images.detach().amin()), float(images.detach().amax())
    if not bool(torch.isfinite(images.detach()).all()):
        advice = (
            "Its weights are not finite or its latents too far off: look at samples of it."
            if images.dtype == torch.float32
            else "In half precision that is an overflow: use bfloat16, or float32 for its decoder."
        )
        raise NonFiniteError(f"{name} made an image with NaN or infinity ({images.dtype}). {advice}")
    if low < -1e-3 or high > 1 + 1e-3:
        raise InputError(
            f"`generator` must make images in [0, 1], got values from {low:.3g} to {high:.3g} from {name}. Give "
            "load_generator(function, latent_dim=..., value_range=...) the range that it has."
        )
    return images.float().clamp(0, 1)


def check_image_generator(generator: Any) -> None:
    """Raise `InputError` unless an object makes images of latents."""
    missing = [name for name in ("kind", "prior") if not hasattr(generator, name)]
    if missing or not callable(generator):
        raise InputError(
            f"`generator` must make images of latents, got {type(generator).__name__}. Give "
            "load_generator(...) a name, a folder, a diffusers pipeline or a function."
        )
    if generator.kind != "image":
        raise InputError(f"`generator` must make images, got one that makes a {generator.kind}.")


@public
@in_own_session
class Generated:
    """Images made of a generator's latents, numbered; each is made again whenever it is read.

    With it, what needs images needs none: ``EPIC().fit(model, Generated(generator, 1000))``,
    ``PartPrototypes().fit(model, Generated(generator, 2000))``.

    Args:
        generator: from `likethat.load_generator`, or any `LatentGenerator` of images.
        n: how many. The first of more are the same images.
        seed: of the latents, and of the start noise where the generator takes one.
        latents: make images of these instead of samples of the prior.
        seeds: with `latents`, the start noise of each.
        names: what to call each image.

    Raises:
        InputError: something that does not make images, or lists of different length.

    Example:
        >>> import likethat as lt
        >>> made = lt.Generated(lt.load_generator("zoo:digits"), 20)
        >>> len(made), tuple(made[3].image.shape), made[3].name
        (20, (1, 32, 32), 'made image 3')
    """

    def __init__(
        self,
        generator: Any,
        n: int | None = None,
        *,
        seed: int = 0,
        latents: Float[Tensor, "n latent"] | None = None,
        seeds: list[int] | None = None,
        names: list[str] | None = None,
    ) -> None:
        check_image_generator(generator)
        if (n is None) == (latents is None):
            raise InputError("give either `n`, how many images, or their `latents`.")
        if latents is not None:
            latents = _checked_latents(latents, generator.prior.dim)
        self.generator = generator
        self.seed = check_seed(seed)
        self._n = check_count(n, name="n") if latents is None else len(latents)
        if seeds is not None and (isinstance(seeds, str) or not hasattr(seeds, "__iter__")):
            raise InputError(f"`seeds` must be a list of whole numbers, one an image, got {shown(seeds)}.")
        seeds = None if seeds is None else [check_count(seed, name="seeds", minimum=0) for seed in seeds]
        names = None if names is None else list(check_names(names, name="names"))
        self._latents, self._seeds, self._names = latents, seeds, names
        for given, what in ((seeds, "seeds"), (names, "names")):
            if given is not None and len(given) != self._n:
                raise InputError(f"`{what}` must have one entry an image, got {len(given)} for {self._n} images.")
        self._block: tuple[int, Tensor] | None = None

    @property
    def signature(self) -> dict[str, Any]:
        """Which images these are: told apart by the latents and the pixels of the first."""
        first = (self.images(0) * 255).round().to(torch.uint8)
        digest = hashlib.blake2b(first.numpy().tobytes(), digest_size=8)
        digest.update(self.latents(torch.arange(min(self._n, _BLOCK))).numpy().tobytes())
        return {"number": self._n, "generator": type(self.generator).__name__, "pixels": digest.hexdigest()}

    def __len__(self) -> int:
        """Return the number of images."""
        return self._n

    def latents(self, rows: Tensor) -> Float[Tensor, "row latent"]:
        """Return the latents of some images."""
        if self._latents is not None:
            return self._latents[rows]
        blocks = {block: self._drawn(block) for block in sorted({int(row) // _BLOCK for row in rows})}
        return torch.stack([blocks[int(row) // _BLOCK][int(row) % _BLOCK] for row in rows])

    def seeds(self, rows: Tensor) -> list[int]:
        """Return the seeds of the start noise of some images."""
        return [self._seeds[int(row)] if self._seeds else self.seed * 1_000_003 + int(row) for row in rows]

    def _drawn(self, block: int) -> Tensor:
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + block)
        drawn: Tensor = self.generator.prior.sample(_BLOCK, rng=rng)
        return drawn.float()

    @torch.no_grad()
    def images(self, block: int) -> Float[Tensor, "n channel height width"]:
        """Return a block of 16 images (fewer at the end), always made together."""
        if self._block is None or self._block[0] != block:
            rows = torch.arange(block * _BLOCK, min((block + 1) * _BLOCK, self._n))
            made = make_images(self.generator, self.latents(rows), seeds=self.seeds(rows))
            self._block = (block, made.cpu())
        return self._block[1]

    def __getitem__(self, index: int) -> Sample:
        """Return image `index`."""
        index = check_index(index, self._n)
        name = self._names[index] if self._names else f"made image {index}"
        return Sample(image=self.images(index // _BLOCK)[index % _BLOCK], name=name)

    @property
    def is_made(self) -> bool:
        """Always true: no image is opened, and a bank of these images says so."""
        return True

    def __repr__(self) -> str:
        return f"Generated({self._n:,} images of {type(self.generator).__name__})"


def _checked_latents(latents: Any, dim: int) -> Tensor:
    if not isinstance(latents, Tensor) or latents.ndim != 2 or latents.shape[1] != dim or not len(latents):
        got = tuple(latents.shape) if isinstance(latents, Tensor) else shown(latents)
        raise InputError(f"`latents` must be a tensor (n, {dim}) for this generator, got {got}.")
    return check_finite(latents, name="latents", advice="Draw them with generator.prior.sample(n, rng=rng).")
