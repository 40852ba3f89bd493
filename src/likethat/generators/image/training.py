"""Training an image generator on a folder or any other source of images."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from likethat._calls import known_options
from likethat._checks import check_choice, check_count
from likethat._options import shown
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.image.data import ImageStack, read_stack
from likethat.generators.image.flow import ImageFlow
from likethat.generators.image.flow_training import FlowRecipe, FlowRun, default_unet
from likethat.generators.image.loop import LoopOptions, train_run
from likethat.generators.image.vae import ImageVAE, build_networks
from likethat.generators.image.vae_training import VaeRecipe, VaeRun, default_config
from likethat.generators.latents import under
from likethat.generators.priors import fit_kernels, fit_prior
from likethat.generators.storage import filled

__all__ = ["train_flow", "train_image_vae"]

_Recipe = TypeVar("_Recipe", VaeRecipe, FlowRecipe)


@in_own_session(grad=True)
def train_image_vae(
    data: Any,
    *,
    size: int | tuple[int, int] | None = None,
    latent_dim: int = 64,
    steps: int | None = None,
    recipe: VaeRecipe | None = None,
    config: dict[str, Any] | None = None,
    mirror: bool = False,
    prior: str = "mixture",
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    watch: Watcher | None = None,
) -> ImageVAE:
    """Train a VAE: one pass from a short latent to an image, and back.

    Args:
        data: images: a folder, arrays, tensors in [0, 1], a data set.
        size: (height, width) to learn at; None for the first image's, at most 64 pixels a side.
        latent_dim: length of a latent.
        steps: of gradient descent, at most; None for what suits the number of images.
        recipe: all of batch, learning rate and the like, `steps` included; None for the usual.
        config: widths of the networks; None for what suits their size.
        mirror: also show images left to right; where that makes other images (letters, digits), leave it off.
        prior: "mixture", a few wide clouds; or "kernels", a narrow one round each of 2,000 encodings, which follows
            data of many separate kinds but keeps encodings of training images: not where those are private.
        seed: same seed, same weights on the same machine.
        device: where to train.
        checkpoint: folder to leave unfinished work in; it stays until the generator is saved.
        resume: go on from `checkpoint`.
        watch: called with a `Progress` as it goes on.

    Raises:
        InputError: fewer than 16 images that can be read, or a checkpoint of another training.
        NonFiniteError: the loss became NaN.
    """
    check_count(latent_dim, name="latent_dim")
    check_choice(prior, name="prior", choices=("mixture", "kernels"))
    started = time.perf_counter()
    stack = read_stack(data, size=size, seed=seed, watch=watch)
    config = _checked_config(config, default_config(stack.shape, latent_dim=latent_dim))
    recipe = _checked_recipe(recipe, VaeRecipe) or replace(VaeRecipe(), steps=_checked_steps(steps, stack))
    last = round((1 - recipe.polish) * recipe.steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run = VaeRun(config=config, recipe=recipe, device=device)
    options = _options(recipe, last, mirror=mirror, seed=seed, checkpoint=checkpoint, resume=resume)
    fitted = train_run(run, stack, options, key={**asdict(recipe), **config, "family": "vae"}, watch=watch)
    run.load_averages()
    generator = finish_vae(run.networks.state_dict(), config, stack, mirror=mirror, prior=prior, seed=seed)
    generator.card = _card(stack, fitted.loss, recipe, seed=seed, minutes=(time.perf_counter() - started) / 60)
    generator.checkpoint = fitted.checkpoint
    return generator


@in_own_session(grad=True)
def train_flow(
    data: Any,
    *,
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    recipe: FlowRecipe | None = None,
    config: dict[str, Any] | None = None,
    mirror: bool = False,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    watch: Watcher | None = None,
) -> ImageFlow:
    """Train a flow: a denoiser, and a generator with its start noise as the latent.

    Args:
        data: images: a folder, arrays, tensors in [0, 1], a data set.
        size: (height, width) to learn at; None for the first image's, at most 64 pixels a side.
        steps: of gradient descent, at most; None for what suits the number of images.
        recipe: all of batch, learning rate and the like, `steps` included; None for the usual.
        config: options of the U-Net; None for what suits their size.
        mirror: also show images left to right; where that makes other images (letters, digits), leave it off.
        seed: same seed, same weights on the same machine.
        device: where to train.
        checkpoint: folder to leave unfinished work in; it stays until the generator is saved.
        resume: go on from `checkpoint`.
        watch: called with a `Progress` as it goes on.

    Raises:
        InputError: fewer than 16 images that can be read, or a checkpoint of another training.
        NonFiniteError: the loss became NaN.
    """
    started = time.perf_counter()
    stack = read_stack(data, size=size, seed=seed, watch=watch)
    config = _checked_config(config, default_unet(stack.shape))
    recipe = _checked_recipe(recipe, FlowRecipe) or replace(FlowRecipe(), steps=_checked_steps(steps, stack))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run = FlowRun(config=config, recipe=recipe, device=device)
    options = _options(recipe, recipe.steps, mirror=mirror, seed=seed, checkpoint=checkpoint, resume=resume)
    fitted = train_run(run, stack, options, key={**asdict(recipe), **config, "family": "flow"}, watch=watch)
    run.load_averages()
    flow = ImageFlow.from_state({**config, "n_steps": 8}, run.network.cpu().state_dict())
    flow.card = _card(stack, fitted.loss, recipe, seed=seed, minutes=(time.perf_counter() - started) / 60)
    flow.checkpoint = fitted.checkpoint
    return flow


def finish_vae(
    state: Mapping[str, Tensor], config: Mapping[str, Any], stack: ImageStack, *, mirror: bool, prior: str, seed: int
) -> ImageVAE:
    """Return the generator of trained weights: fit the prior to where the images are encoded."""
    encoder = filled(lambda: build_networks(config)[0], under("encoder.", state))
    decoder = filled(lambda: build_networks(config)[1], under("decoder.", state))
    latents = _encoded(encoder, stack, mirror=mirror, seed=seed)
    fit = fit_kernels if prior == "kernels" else fit_prior
    return ImageVAE(encoder, decoder, prior=fit(latents, seed=seed), config=config)


def _checked_config(config: Any, usual: dict[str, Any]) -> dict[str, Any]:
    """Return the widths of the networks, the usual ones where `config` says nothing."""
    if config is None:
        return usual
    if not isinstance(config, Mapping):
        raise InputError(f"`config` must be a dictionary or None, got {shown(config)}. The usual one is {usual}.")
    known_options(config, list(usual), of="`config`")
    return {**usual, **config}


def _checked_recipe(recipe: _Recipe | None, kind: type[_Recipe]) -> _Recipe | None:
    if recipe is not None and not isinstance(recipe, kind):
        raise InputError(f"`recipe` must be a {kind.__name__} or None, got {shown(recipe)}.")
    return recipe


def _checked_steps(steps: int | None, stack: ImageStack) -> int:
    """Return the steps asked for, or those that see every image about 30 times: 2,000 to 20,000."""
    if steps is not None:
        return check_count(steps, name="steps")
    return min(20_000, max(2_000, 2 * len(stack)))


def _options(
    recipe: VaeRecipe | FlowRecipe,
    last_phase: int,
    *,
    mirror: bool,
    seed: int,
    checkpoint: str | Path | None,
    resume: bool,
) -> LoopOptions:
    return LoopOptions(
        steps=check_count(recipe.steps, name="steps"),
        last_phase=last_phase,
        batch=check_count(recipe.batch, name="batch"),
        mirror=mirror,
        patience=8,
        seed=seed,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        resume=resume,
    )


@torch.no_grad()
def _encoded(encoder: torch.nn.Module, stack: ImageStack, *, mirror: bool, seed: int) -> Tensor:
    """Return a draw from the posterior of each image: together, where typical latents lie."""
    rng = torch.Generator().manual_seed(seed + 1)
    encoder.eval()
    views: Sequence[Tensor | None] = [None, torch.ones(64, dtype=torch.bool)] if mirror else [None]
    drawn = []
    for view in views:
        for rows in torch.arange(len(stack)).split(64):
            mean, log_variance = encoder(stack.batch(rows, mirrored=None if view is None else view[: len(rows)]))
            drawn.append(mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng, dtype=torch.float32))
    return torch.cat(drawn)


def _card(
    stack: ImageStack, loss: float, recipe: VaeRecipe | FlowRecipe, *, seed: int, minutes: float
) -> dict[str, Any]:
    return {
        "kind": "image",
        "images": len(stack),
        "skipped": len(stack.skipped),
        "shape": list(stack.shape),
        "held_out_loss": round(loss, 5),
        "recipe": asdict(recipe),
        "seed": seed,
        "minutes": round(minutes, 1),
        "torch": torch.__version__,
    }
