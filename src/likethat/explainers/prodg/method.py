"""ProDG: prototypes with no data at all, made by a generator from the weights of the model alone.

Source:
    Borycki et al. (2026), ProDG, arXiv 2605.08858. Written from the paper's equations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from likethat._calls import public
from likethat._checkpoint import EVERY, Checkpoint
from likethat._checks import check_count
from likethat._class_names import resolve_target
from likethat._options import check_callable, shown
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat._workers import as_cluster, connected
from likethat.errors import InputError
from likethat.explainers.prodg.run import SCHEDULE, Run
from likethat.explainers.prodg.work import Stages
from likethat.explanations import Bank
from likethat.features import Features
from likethat.fitting.fitting import begin
from likethat.fitting.rotation import fit_procrustes
from likethat.generators.generated import Generated, check_image_generator
from likethat.models import SplitModel, as_model, check_model
from likethat.options import ProDGOptions


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class ProDG(ProDGOptions):
    """Find a rotation of a network's channels, and prototypes of them, in images that a generator makes.

    No image is opened: samples of the generator are what the rotation is learned on and where every channel begins;
    then each prototype climbs, in the generator's latents, towards higher purity. The logits stay the network's own.

    Source:
        Borycki et al. (2026), ProDG: the rotation of EPIC, learned on generated images; for each channel a learned
        low-rank conditioning whose images maximise purity, with 0.1 times the mean squared change and 0.1 times the
        mean cosine between a channel's images.

    Differs:
        Every channel begins with the best of `n_samples` samples that all channels share, and so does the rotation,
        in closed form; the paper begins with one prompt for all and alternates 10,000 steps. Purity has no ReLU, so a
        channel that is negative everywhere still has a way up; one that stays there is begun anew and then said to be
        dead. Channels climb in groups whose state is dropped when they are done. The purest image of the way is kept,
        not the last. Works in any latent, and without gradients.

        Memory for what is learned: 4 bytes x channels x own x latent for what was found, and four times that for the
        `batch` images under way; own is `n_prototypes`, or 1 where a channel's images share one conditioning and
        differ by start noise. 2,048 channels with rank-4 prompts of FLUX.1 (19,200 numbers) take 0.15 GiB.

    Example:
        >>> import torch, likethat as lt
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        ...     torch.nn.Linear(6, 2)).eval()
        >>> paint = lambda z: torch.sigmoid(z).reshape(-1, 3, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3)
        >>> generator = lt.load_generator(paint, latent_dim=12)
        >>> model = lt.split(network, example=torch.rand(2, 3, 8, 8))
        >>> bank = lt.ProDG(generator, n_prototypes=2, n_samples=60, steps=3).fit(model)
        >>> bank.provenance.measures["purity"] >= bank.provenance.measures["purity_of_samples"]
        True
    """

    name: ClassVar[str] = "ProDG"

    def __post_init__(self) -> None:
        """Check the generator, then the options."""
        check_image_generator(self.generator)
        super().__post_init__()

    def find_mixing(self, features: Features, checkpoint: Checkpoint | None, watch: Watcher | None) -> Tensor:  # noqa: ARG002
        """Return the rotation of the channels; in closed form, so nothing is left for a checkpoint."""
        return fit_procrustes(features, SCHEDULE.for_images(len(features.kept)), watch=watch)

    def fit(
        self,
        model: SplitModel | nn.Module,
        *,
        target: int | str | None = None,
        n_channels: int = 12,
        channels: Sequence[int] | None = None,
        memory_budget: int | str = 2 * 2**30,
        workers: int | str = 0,
        checkpoint: str | Path | None = None,
        checkpoint_every: float = EVERY,
        resume: bool = False,
        watch: Watcher | None = None,
    ) -> Bank:
        """Find the rotation and the prototypes; no images are needed.

        Args:
            model: from `likethat.split` or `likethat.load`; a network is split, as `likethat.split` would.
            target: climb only with the channels that supply most to this class; the others keep their best samples.
            n_channels: how many those are.
            channels: climb only with these.
            memory_budget: bytes for the samples' feature maps, or a text such as "2GB".
            workers: ``"ray"``, ``"ray:2"``, ``"ray://host:port"``: processes, GPUs and machines that Ray runs, among
                which samples and channels are split (docs/guide/workers.md). The result does not depend on it, to the
                byte. Threads have nothing to do here.
            checkpoint: folder to leave unfinished work in; removed when the bank is saved.
            checkpoint_every: seconds until its first piece, and between two; more where writing takes more than a
                tenth of the time.
            resume: go on from `checkpoint`.
            watch: called with a `Progress` as the work goes on.

        Raises:
            NotLinearError: the model's head is not linear in its pooled features.
            InputError: a generator whose images the model does not take, or options that do not fit.
            NonFiniteError: the generator made NaN.
        """
        clock, cluster = Clock(), as_cluster(workers)
        check_callable(watch, name="watch", takes="a Progress")
        watch = None if watch is None else Stages(watch)
        n_channels = check_count(n_channels, name="n_channels")
        samples = Generated(self.generator, self.n_samples, seed=self.seed)
        check_model(model)
        model = as_model(model, lambda: samples[0].image)
        index = None if target is None else resolve_target(target, model.class_names)
        chosen = _checked_channels(channels, model.n_channels, with_target=index is not None)
        self._check_fit(model)
        with connected(cluster):
            begun = begin(
                model,
                samples,
                method=self.name,
                options={**self.options(), "target": index, "n_channels": n_channels, "channels": chosen},
                seed=self.seed,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                resume=resume,
                memory_budget=memory_budget,
                workers=cluster,
                watch=watch,
            )
            with begun.work():
                run = Run(
                    method=self,
                    name=self.name,
                    find_mixing=self.find_mixing,
                    model=model,
                    begun=begun,
                    target=index,
                    watch=watch,
                )
                bank = run.bank(n_channels=n_channels, channels=chosen, clock=clock)
        return begun.finished(bank)

    def _check_fit(self, model: SplitModel) -> None:
        """Make a few images and let the model look at them, before anything is begun."""
        images = Generated(self.generator, 2, seed=self.seed).images(0)
        try:
            with torch.no_grad():
                model.forward(model.preprocess.view(images))
        except (InputError, RuntimeError) as error:
            raise InputError(
                f"`generator` must make images that the model takes, {model.in_channels} channels"
                f"{_size(model)}, got {tuple(images.shape[1:])} from {type(self.generator).__name__}: {error}"
            ) from error


def _size(model: SplitModel) -> str:
    size = model.preprocess.input_size
    return "" if size is None else f" of {size[0]} x {size[1]} or a size to be resized"


def _checked_channels(channels: Sequence[int] | None, n_channels: int, *, with_target: bool) -> list[int] | None:
    if channels is None:
        return None
    if with_target:
        raise InputError("give either `target` or `channels`, not both.")
    if isinstance(channels, str) or not hasattr(channels, "__iter__"):
        raise InputError(f"`channels` must be a list of channel numbers, got {shown(channels)}.")
    chosen = [check_count(channel, name="channels", minimum=0) for channel in channels]
    if not chosen or max(chosen) >= n_channels or len(set(chosen)) < len(chosen):
        raise InputError(f"`channels` must be distinct numbers from 0 to {n_channels - 1}, got {shown(chosen)}.")
    return chosen
