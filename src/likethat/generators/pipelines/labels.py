"""Class-conditional pipelines as generators whose latents are mixtures of classes."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from likethat._checks import check_count
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.pipelines.base import (
    SteeredPipeline,
    freeze,
    mixture_weights,
    refuse_offloading,
    saved_memory,
    start_rng,
)
from likethat.generators.priors import StandardNormal
from likethat.search.base import Prior


@in_own_session
class LabelGenerator(SteeredPipeline):
    """A class-conditional pipeline that draws a learnable mixture of its classes; latents are N(0, I).

    A latent holds one logit a class. In the place of the embedding of one label goes that of all of them,

        softmax(s z) @ table,    s = 2 sqrt(2 ln classes),

    so for a latent of N(0, I) one or two classes count, whatever their number is. One logit far above the others is
    the class itself; the zero latent is the mean of all.

    DiT, and any pipeline of a class-conditional `UNet2DModel` and a scheduler, with a VAE or without. The table is read
    and replaced by hooks that are there during a call alone. From now on the pipeline belongs to the generator: its
    networks are frozen and in evaluation mode, checkpointing and tiling stay on. Its scheduler keeps state: one
    generator and one thread a pipeline.

    Args:
        pipe: the pipeline.
        n_steps: of its scheduler.
        guidance: how far to go from the null label's prediction to the class's; 1 for the class's own.
        null_label: the row of the table that stands for no class; None for the last of DiT's, and none of a U-Net's.
        checkpointing: compute activations again instead of keeping them for gradients: less memory, more time.
        tiling: decode large images in tiles.

    Raises:
        InputError: no network of labels, several tables of different length, no row for the null label where there is
            guidance, or a pipeline that moves its weights between devices.

    Source:
        Ho and Salimans, "Classifier-free diffusion guidance", 2022, equation 6 with w = guidance - 1; Peebles and Xie,
        "Scalable diffusion models with transformers", ICCV 2023, for DiT and its null label.

    Differs:
        The loop over the scheduler's steps is ours: the pipelines' own end in NumPy, without gradients.
    """

    def __init__(
        self,
        pipe: Any,
        *,
        n_steps: int = 20,
        guidance: float = 1.0,
        null_label: int | None = None,
        checkpointing: bool = False,
        tiling: bool = False,
    ) -> None:
        refuse_offloading(pipe)
        self.n_steps, self.guidance = check_count(n_steps, name="n_steps"), float(guidance)
        self._network = _network_of(pipe)
        self._tables = _tables(self._network, type(pipe).__name__)
        self._n_rows = self._tables[0].num_embeddings
        self._null = _null_row(pipe, self._network, self._n_rows, null_label)
        if self.guidance != 1 and self._null is None:
            raise InputError(
                f"`guidance` of {self.guidance:g} needs a label for no class, and {type(pipe).__name__} has none that "
                "is known. Give null_label, or guidance=1."
            )
        freeze(pipe)
        vae: nn.Module | None = getattr(pipe, "vae", None)
        saved_memory(pipe, [vae], checkpointing=checkpointing, tiling=tiling)
        self._checkpoints = checkpointing  # by step, hooks and all: inside the network they would be gone again
        self._pipe, self._vae = pipe, vae
        self.classes = [row for row in range(self._n_rows) if row != self._null]
        self.prior: Prior = StandardNormal(len(self.classes))

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self._tables[0].weight.device

    def to(self, device: str | torch.device) -> "LabelGenerator":
        """Move the pipeline; returns self."""
        self._pipe.to(device)
        return self

    def _drawn(self, latent: Tensor, seed: int) -> Tensor:
        return self._decode(self._sample(latent, seed))

    def _mixture(self, latent: Tensor) -> Float[Tensor, "row table"]:
        """Return the weights of the table's rows: the latent's, and below them the null label's where it guides."""
        logits = latent.to(self.device, torch.promote_types(latent.dtype, torch.float32))
        weights = logits.new_zeros(self._n_rows)
        weights = weights.index_copy(0, torch.tensor(self.classes, device=self.device), mixture_weights(logits))
        if self.guidance == 1 or self._null is None:
            return weights[None]
        return torch.stack([weights, nn.functional.one_hot(torch.tensor(self._null), self._n_rows).to(weights)])

    def _sample(self, latent: Tensor, seed: int) -> Tensor:
        """Return what the scheduler's steps make of start noise."""
        scheduler, rng, dtype = self._pipe.scheduler, start_rng(seed), self._tables[0].weight.dtype
        config: Any = self._network.config
        side = config.sample_size
        size = (side, side) if isinstance(side, int) else tuple(side)
        x = torch.randn(1, config.in_channels, *size, generator=rng, dtype=dtype).to(self.device)
        scheduler.set_timesteps(self.n_steps, device=self.device)
        x = x * scheduler.init_noise_sigma
        noise = {"generator": rng} if "generator" in inspect.signature(scheduler.step).parameters else {}
        mixture = self._mixture(latent).to(dtype)
        for step in scheduler.timesteps:
            if self._checkpoints:
                made = checkpoint(self._predict, x, step, mixture, use_reentrant=False)
            else:
                made = self._predict(x, step, mixture)
            x = scheduler.step(made, step, x, **noise).prev_sample
        return x

    def _predict(self, x: Tensor, step: Tensor, mixture: Float[Tensor, "row table"]) -> Tensor:
        """Return the guided prediction of one step; a learned variance is left out."""
        n = len(mixture)
        seen = self._pipe.scheduler.scale_model_input(x, step).to(mixture.dtype).expand(n, -1, -1, -1)
        labels = torch.zeros(n, dtype=torch.long, device=x.device)  # the hooks know better
        with _labelled(self._tables, mixture):
            made = self._network(seen, timestep=step.to(x.device).expand(n), class_labels=labels).sample
        made = made[:, : x.shape[1]] if made.shape[1] == 2 * x.shape[1] else made
        return made if n == 1 else made[1:] + self.guidance * (made[:1] - made[1:])

    def _decode(self, x: Tensor) -> Tensor:
        if self._vae is None:
            return x / 2 + 0.5
        vae: Any = self._vae
        scaled = x / vae.config.scaling_factor + (getattr(vae.config, "shift_factor", None) or 0)
        return vae.decode(scaled.to(vae.dtype)).sample / 2 + 0.5


def _network_of(pipe: Any) -> nn.Module:
    for name in ("transformer", "unet"):
        network = getattr(pipe, name, None)
        if isinstance(network, nn.Module) and "class_labels" in inspect.signature(network.forward).parameters:
            takes_text = "encoder_hidden_states" in inspect.signature(network.forward).parameters
            if not takes_text and getattr(pipe, "scheduler", None) is not None:
                return network
    raise InputError(
        f"{type(pipe).__name__} must have a transformer or U-Net of class labels alone, and a scheduler, and does not. "
        "Take by='prompt' for text-to-image pipelines, by='noise' for others."
    )


def _tables(network: nn.Module, name: str) -> list[nn.Embedding]:
    tables = [part for part in network.modules() if isinstance(part, nn.Embedding)]
    lengths = sorted({table.num_embeddings for table in tables})
    if len(lengths) != 1 or lengths[0] < 2:
        found = f"tables of {lengths} rows" if lengths else "none"
        raise InputError(
            f"the network of {name} must have a table of label embeddings, found {found}. Give a network that was "
            "built with num_class_embeds, or take by='noise'."
        )
    return tables


def _null_row(pipe: Any, network: nn.Module, n_rows: int, null_label: int | None) -> int | None:
    if null_label is None:
        config: Any = network.config
        n_classes = getattr(config, "num_embeds_ada_norm", None)
        return n_rows - 1 if n_classes is not None and n_rows == n_classes + 1 else None
    if check_count(null_label, name="null_label", minimum=0) >= n_rows:
        raise InputError(
            f"`null_label` must be a row of the table of {type(pipe).__name__}, 0 to {n_rows - 1}, got {null_label}."
        )
    return null_label


@contextmanager
def _labelled(tables: Sequence[nn.Embedding], mixture: Float[Tensor, "row table"]) -> Iterator[None]:
    """Let tables of labels return mixtures of their rows, whatever label is asked for."""

    def mixed(table: nn.Module, args: Any, output: Tensor) -> Tensor:  # noqa: ARG001
        rows: Any = table.weight
        return mixture @ rows

    with ExitStack() as hooks:
        for table in tables:
            hooks.callback(table.register_forward_hook(mixed).remove)
        yield
