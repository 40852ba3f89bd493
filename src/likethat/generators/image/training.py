"""Training an image generator on a folder or any other source of images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from likethat._calls import known_options
from likethat._checkpoint import EVERY
from likethat._options import shown
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.comparing import FEWEST, quality_of
from likethat.generators.image.data import ImageStack, read_stack
from likethat.generators.image.flow import ImageFlow
from likethat.generators.image.flow_training import FlowRun, default_unet
from likethat.generators.image.loop import ImageRun, LoopOptions, kept_apart, train_run
from likethat.generators.image.measuring import compared_images
from likethat.generators.image.vae import ImageVAE, build_networks
from likethat.generators.image.vae_training import VaeRun, default_config
from likethat.generators.latents import under
from likethat.generators.priors import fit_kernels, fit_prior
from likethat.generators.quality import Quality
from likethat.generators.storage import filled
from likethat.generators.training import Fitted, ended_in_words
from likethat.options import FlowRecipe, ImageTraining, VaeRecipe

_LATENT_DIM = 64  # between the zoo's own: digits take 16, creatures 128


@in_own_session(grad=True)
def train_image(
    data: Any,
    told: ImageTraining,
    *,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
    watch: Watcher | None = None,
) -> ImageVAE | ImageFlow:
    """Train a VAE, one pass from a short latent to an image and back; or a flow, a denoiser and a generator at once.

    Args:
        data: images: a folder, arrays, tensors in [0, 1], a data set.
        told: which of the two, and how.
        checkpoint: folder to leave unfinished work in; it stays until the generator is saved.
        checkpoint_every: seconds until its first state, and between two.
        resume: go on from `checkpoint`.
        watch: called with a `Progress` as it goes on.

    Raises:
        InputError: fewer than 16 images that can be read, or a checkpoint of another training.
        NonFiniteError: the loss became NaN.
    """
    clock = Clock()
    stack = read_stack(data, size=told.size, seed=told.seed, watch=watch)
    place = None if checkpoint is None else Path(checkpoint)
    work = _Work(stack=stack, told=told, checkpoint=place, every=checkpoint_every, resume=resume, watch=watch)
    generator, fitted, recipe = (_train_vae if told.algorithm == "vae" else _train_flow)(work)
    generator.card = _card(work, fitted, recipe)
    generator.card["quality"] = _quality(generator, stack, told.seed, watch).to_dict()
    generator.card["minutes"] = round(clock.seconds / 60, 1)
    return generator


def _quality(generator: ImageVAE | ImageFlow, stack: ImageStack, seed: int, watch: Watcher | None) -> Quality:
    """Measure a generator on the images that its training had held out."""
    rows = kept_apart(len(stack), seed=seed)
    return quality_of(
        "image",
        len(rows[0]),
        len(stack),
        lambda: compared_images(generator, *(stack.images[some] for some in rows), seed=seed),
        notes=("Images are compared at 32 pixels a side, features of light and edges at their own size.",),
        watch=watch,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """Images, what to do with them, and where unfinished work goes."""

    stack: ImageStack
    told: ImageTraining
    checkpoint: Path | None
    every: float
    resume: bool
    watch: Watcher | None

    def train(
        self, run: ImageRun, recipe: VaeRecipe | FlowRecipe, *, last_phase: int, key: Mapping[str, Any]
    ) -> Fitted:
        """Train to the end, or until the held-out loss stops falling."""
        options = LoopOptions(
            steps=recipe.steps,
            last_phase=last_phase,
            batch=recipe.batch,
            mirror=self.told.mirror,
            patience=8,
            seed=self.told.seed,
            checkpoint=self.checkpoint,
            resume=self.resume,
            every=self.every,
        )
        return train_run(run, self.stack, options, key={**asdict(recipe), **key}, watch=self.watch)


def _train_vae(work: _Work) -> tuple[ImageVAE, Fitted, VaeRecipe]:
    told, stack = work.told, work.stack
    config = _checked_config(told.config, default_config(stack.shape, latent_dim=told.latent_dim or _LATENT_DIM))
    recipe = told.recipe or VaeRecipe(steps=told.steps or _usual_steps(stack))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(told.seed)
        run = VaeRun(config=config, recipe=recipe, device=str(told.device))
    last = round((1 - recipe.polish) * recipe.steps)
    fitted = work.train(run, recipe, last_phase=last, key={**config, "family": "vae"})
    run.load_averages()
    generator = finish_vae(
        run.networks.state_dict(), config, stack, mirror=told.mirror, prior=told.prior, seed=told.seed
    )
    generator.checkpoint = fitted.checkpoint
    return generator, fitted, recipe


def _train_flow(work: _Work) -> tuple[ImageFlow, Fitted, FlowRecipe]:
    told = work.told
    config = _checked_config(told.config, default_unet(work.stack.shape))
    recipe = told.recipe or FlowRecipe(steps=told.steps or _usual_steps(work.stack))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(told.seed)
        run = FlowRun(config=config, recipe=recipe, device=str(told.device))
    fitted = work.train(run, recipe, last_phase=recipe.steps, key={**config, "family": "flow"})
    run.load_averages()
    flow = ImageFlow.from_state({**config, "n_steps": 8}, run.network.cpu().state_dict())
    flow.checkpoint = fitted.checkpoint
    return flow, fitted, recipe


def finish_vae(
    state: Mapping[str, Tensor], config: Mapping[str, Any], stack: ImageStack, *, mirror: bool, prior: str, seed: int
) -> ImageVAE:
    """Return the generator of trained weights: fit the prior to where the images are encoded.

    Those that it is measured on take no part; where they are too few for that, all do.
    """
    encoder = filled(lambda: build_networks(config)[0], under("encoder.", state))
    decoder = filled(lambda: build_networks(config)[1], under("decoder.", state))
    held_out, learned = kept_apart(len(stack), seed=seed)
    rows = torch.arange(len(stack)) if len(held_out) < FEWEST else learned
    latents = _encoded(encoder, stack, rows, mirror=mirror, seed=seed)
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


def _usual_steps(stack: ImageStack) -> int:
    """Return the steps that see every image about 30 times: 2,000 to 20,000."""
    return min(20_000, max(2_000, 2 * len(stack)))


@torch.no_grad()
def _encoded(
    encoder: torch.nn.Module, stack: ImageStack, rows: Int[Tensor, " some"], *, mirror: bool, seed: int
) -> Tensor:
    """Return a draw from the posterior of some images: together, where typical latents lie."""
    rng = torch.Generator().manual_seed(seed + 1)
    encoder.eval()
    views: Sequence[Tensor | None] = [None, torch.ones(64, dtype=torch.bool)] if mirror else [None]
    drawn = []
    for view in views:
        for some in rows.split(64):
            mean, log_variance = encoder(stack.batch(some, mirrored=None if view is None else view[: len(some)]))
            drawn.append(mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng, dtype=torch.float32))
    return torch.cat(drawn)


def _card(work: _Work, fitted: Fitted, recipe: VaeRecipe | FlowRecipe) -> dict[str, Any]:
    stack, told = work.stack, work.told
    return {
        "kind": "image",
        "images": len(stack),
        "skipped": len(stack.skipped),
        "shape": list(stack.shape),
        "held_out_loss": round(fitted.loss, 5),
        **ended_in_words(fitted.status(more="steps")),
        "options": told.options(),
        "recipe": asdict(recipe),
        "seed": told.seed,
        "torch": torch.__version__,
    }
