"""Generators by name: the zoo's, a folder that was trained, a diffusers pipeline, a language model, any function."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likethat._calls import known_options, public
from likethat._checks import check_device
from likethat._documents import Damaged
from likethat._options import check_path, shown
from likethat._session import in_own_session
from likethat.errors import InputError, MissingExtraError
from likethat.generators.base import Denoiser, LatentGenerator
from likethat.generators.callables import CallableGenerator
from likethat.generators.pipelines.diffusion import adapt, load_pipeline
from likethat.generators.storage import read_generator
from likethat.models.zoo import weights_of

GENERATORS = ("creatures", "creatures-flow", "digits", "digits-flow")
"""The generators that come with the library."""

_FAMILIES = {
    "image-vae": ("likethat.generators.image.vae", "ImageVAE"),
    "image-flow": ("likethat.generators.image.flow", "ImageFlow"),
    "table-vae": ("likethat.generators.table.generator", "TableVAE"),
    "text-vae": ("likethat.generators.text.generator", "TextVAE"),
}
_SIZES = {"blocks": 64, "channels": 64, "code": 2**14, "encoder_widths": 2**14, "latent_dim": 2**17, "length": 2**14}
_SIZES |= {"n_steps": 2**14, "patch": 64, "rereads": 64, "size": 2**12, "width": 2**14, "widths": 2**14}
"""The largest that a setting from a file may be: far beyond any that was trained, within any machine."""
_LONGEST_LATENT = 3 * 2**24  # the start noise of a flow for 4,096 x 4,096 pixels
_MOST_LEVELS = 16  # halvings of an image: 65,536 pixels a side become one
_EXAMPLES = "'zoo:creatures', 'diffusers:org/name', 'hf:org/name', or a folder that likethat train-generator wrote"


@public
@in_own_session
def load_generator(
    source: Any, *, latent_dim: int | None = None, device: str | torch.device | None = None, **options: Any
) -> Any:
    """Return a generator.

    Args:
        source: ``"zoo:creatures"`` and ``"zoo:digits"`` (VAEs), ``"zoo:creatures-flow"`` and ``"zoo:digits-flow"``
            (denoisers too); ``"diffusers:org/name"`` or ``"diffusers:folder"``; ``"hf:org/name"``, a causal language
            model; a .txt file with one text a line (`TextEdits`); a folder that `save`, or a pipeline's
            `save_pretrained`, wrote; a diffusers pipeline; any function or module from latents (n, latent) to images in
            [0, 1], a DataFrame or texts. A generator comes back as it is.
        latent_dim: of a function, or of a language model's soft prompt: the length of its latents.
        device: where to put it; None leaves it on the CPU.
        **options: of the class behind it, such as ``n_steps`` of a flow or ``value_range`` of a function. A diffusers
            pipeline also takes ``by``, what its latents are: ``"noise"`` (the start noise, by default), ``"prompt"``
            (a learnable conditioning of a text-to-image pipeline: `PromptGenerator`) or ``"label"`` (a mixture of the
            classes of a class-conditional one: `LabelGenerator`); and by name ``dtype``, such as ``torch.bfloat16``.

    Returns:
        A `LatentGenerator`; a flow or an unconditional pipeline is a `Denoiser` too.

    Raises:
        InputError: an unknown name, a folder that holds no generator, or a function that makes no inputs.
        ModelError: a pipeline or language model that does not load.
        MissingExtraError: a library is not installed.

    Example:
        >>> load_generator("zoo:digits").shape
        (1, 32, 32)
    """
    if isinstance(source, str | Path):
        if latent_dim is not None:
            options["latent_dim"] = latent_dim
        if device is not None:
            device = check_device(device)
        return _placed(_by_name(str(check_path(source, name="source")), device, options), device)
    if isinstance(source, LatentGenerator) and latent_dim is None:
        return source
    if _is_pipeline(source):
        return adapt(source, **options)
    if not callable(source):
        raise InputError(f"`source` must be a name such as {_EXAMPLES}, or a function, got {type(source).__name__}.")
    if isinstance(source, type):
        raise InputError(f"`source` must be a function, got {shown(source)}. Make an instance of it first.")
    known_options(options, ["prior", "value_range", "name"], of="a function as a generator")
    if latent_dim is None:
        raise InputError("`latent_dim` must be given for a function: how long are its latents?")
    return CallableGenerator(source, latent_dim=latent_dim, **options)


def _by_name(name: str, device: Any, options: Mapping[str, Any]) -> Any:
    prefix, _, rest = name.partition(":")
    if prefix == "zoo" and rest:
        return _from_zoo(rest, options)
    if prefix == "diffusers" and rest:
        return load_pipeline(rest, device=device, **options)
    if prefix == "hf" and rest:
        from likethat.generators.text.language_model import load_language_model

        return load_language_model(rest, **options)
    if Path(name).suffix.lower() == ".txt":
        from likethat.generators.text.edits import TextEdits

        return TextEdits(name, **options)
    if not Path(name).exists():
        raise InputError(f"`source` must be {_EXAMPLES}, got {name!r}, which does not exist.")
    if (Path(name) / "model_index.json").is_file():
        return load_pipeline(name, device=device, **options)
    return _built(read_generator(Path(name)), options)


def _from_zoo(name: str, options: Mapping[str, Any]) -> Any:
    if name not in GENERATORS:
        known = ", ".join(f"zoo:{item}" for item in GENERATORS)
        raise InputError(f"`source` must be one of {known}, got 'zoo:{name}'.")
    with weights_of(f"generator-{name}") as path:
        return _built(read_generator(path), options)


def _built(stored: Any, options: Mapping[str, Any]) -> Any:
    if stored.family not in _FAMILIES:
        known = ", ".join(sorted(_FAMILIES))
        raise InputError(f"the generator's family must be one of {known}, got {stored.family!r}: of a newer likethat?")
    module, name = _FAMILIES[stored.family]
    build: Callable[[Mapping[str, Any], Mapping[str, Tensor]], Any] = getattr(import_module(module), name).from_state
    unknown = set(options) - set(stored.config)
    if unknown:
        raise InputError(f"a generator of the family {stored.family} takes no option {sorted(unknown)[0]!r}.")
    try:
        _check_sizes(stored.config)
        generator = build({**stored.config, **options}, stored.tensors)
        _try(generator)
    except MissingExtraError:
        raise
    except Exception as error:
        if options and isinstance(error, InputError):
            raise  # an option of the caller's own
        # A forged or damaged configuration fails in as many ways as there are layers.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"the generator of the family {stored.family} is damaged: its settings and weights do not make one "
            f"({reason}). Train it again, or name another."
        ) from error
    generator.card = dict(stored.card)
    return generator


def _check_sizes(config: Mapping[str, Any]) -> None:
    """Refuse sizes that no generator has, before layers are counted out by them."""
    for name, value in config.items():
        sizes = value if isinstance(value, list) and name in _SIZES else [value] if name in _SIZES else []
        if not all(isinstance(size, int) and 0 <= size <= _SIZES[name] for size in sizes) or len(sizes) > _MOST_LEVELS:
            raise Damaged(f"{name} is {repr(value)[:60]}")


@torch.no_grad()
def _try(generator: Any) -> None:
    """Let it make two inputs: shapes that do not fit each other show here, not in the middle of somebody's work."""
    if generator.prior.dim > _LONGEST_LATENT:
        raise Damaged(f"its latents have {generator.prior.dim:,} numbers")
    latents = generator.prior.sample(2, rng=torch.Generator().manual_seed(0))
    if isinstance(generator, Denoiser):  # one step in place of all of them
        made = generator.denoise(latents.reshape(2, *generator.shape), torch.ones(2, dtype=torch.float32))
    else:
        made = generator(latents)
    if isinstance(made, Tensor) and not bool(torch.isfinite(made).all()):
        raise Damaged("it makes NaN or infinity")


def _placed(generator: Any, device: Any) -> Any:
    return generator.to(device) if device is not None and hasattr(generator, "to") else generator


def _is_pipeline(source: Any) -> bool:
    return not isinstance(source, nn.Module) and hasattr(source, "components") and hasattr(source, "scheduler")
