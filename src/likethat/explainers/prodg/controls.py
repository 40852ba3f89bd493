"""What would come out if it were not the classifier that is explained: ProDG's two controls."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int, UInt8
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from likethat._progress import Stage, Watcher
from likethat._workers import Cluster, spread
from likethat.coordinates import Rotation
from likethat.explainers.prodg.ascent import Climb, Group, climb
from likethat.explainers.prodg.channels import best_samples, n_candidates_of
from likethat.features import Features, Forward, collect
from likethat.fitting.rotation import Schedule, fit_procrustes
from likethat.fitting.usage import usage_of
from likethat.generators.base import takes_seeds
from likethat.generators.generated import Generated
from likethat.models import SplitModel, split
from likethat.sources import Images

_OTHER = 86028121  # a prime far from the seeds that people take
_AT_A_TIME = 64  # feature maps
_VIEWS = 64  # that normalisations are measured on: over 3,000 cells a channel at 7 x 7


@torch.no_grad()
def best_of_prior(
    model: SplitModel,
    source: Generated,
    features: Features,
    mixing: Float[Tensor, "channel channel"],
    units: Int[Tensor, " unit"],
    *,
    n: int,
    workers: int | Cluster = 0,
    watch: Watcher | None = None,
) -> Float[Tensor, " unit"]:
    """Return each channel's mean purity of its best `n` among samples of the prior, chosen as ProDG's starts are.

    Args:
        model: what is explained.
        source: as many samples as ProDG made images; the first ones are those of `features`.
        features: of the first ones, which are not made again where their maps are held.
        mixing: of the channels.
        units: the channels.
        n: prototypes a channel.
        workers: that make images.
        watch: called as it goes on.
    """
    detectors = mixing[units]
    n_known = len(features.kept) if features.is_complete else 0
    activation, purity = [], []
    for maps in features.maps[:n_known].split(_AT_A_TIME):
        found = _answers(maps, detectors, mixing)
        activation.append(found[0])
        purity.append(found[1])
    stage = Stage("control: prior samples", watch, total=len(source), done=n_known)
    prior, size = _Prior(model=model, source=source, detectors=detectors, mixing=mixing), Forward(model).chunk
    blocks = (range(start, min(start + size, len(source))) for start in range(n_known, len(source), size))
    with spread(workers, prior, on_gpu=model.device.type == "cuda") as each:
        for found in each(_Prior.answers, blocks):
            activation.append(found[0])
            purity.append(found[1])
            stage.add(len(found[0]))
    activations, purities = torch.cat(activation), torch.cat(purity)
    n_candidates = n_candidates_of(len(purities), n)
    candidates = purities.gather(0, activations.topk(n_candidates, dim=0).indices)
    return candidates.topk(n, dim=0).values.mean(0)


@dataclass(kw_only=True, eq=False)
class _Prior:
    """Plain samples, which are looked at a block at a time."""

    model: SplitModel
    source: Generated
    detectors: Tensor
    mixing: Tensor

    @cached_property
    def forward(self) -> Forward:
        """The network on chunks of one size, one a worker."""
        return Forward(self.model)

    @torch.no_grad()
    def answers(self, block: range) -> tuple[Tensor, Tensor]:
        """Return activation and purity (image, unit) of some samples."""
        views = self.model.preprocess.view(torch.stack([self.source[index].image for index in block]))
        return _answers(self.forward(views).feature_map.flatten(2), self.detectors, self.mixing)


def _answers(maps: Tensor, detectors: Tensor, mixing: Tensor) -> tuple[Tensor, Tensor]:
    """Return activation and purity (image, unit) of feature maps (image, channel, cell)."""
    values = torch.einsum("ud,idc->iuc", detectors, maps)
    peaks = values.max(2)
    mixed = torch.einsum("kd,idc->ikc", mixing, maps)
    norms = torch.linalg.vector_norm(mixed, dim=1).gather(1, peaks.indices)
    purity = torch.where(norms > 0, peaks.values / norms.clamp_min(torch.finfo(norms.dtype).tiny), 0.0)
    return values.mean(2), purity


def made_for_random_weights(
    model: SplitModel,
    features: Features,
    source: Generated,
    options: Climb,
    units: Int[Tensor, " unit"],
    *,
    n: int,
    batch: int,
    schedule: Schedule,
    workers: int | Cluster = 0,
    watch: Watcher | None = None,
) -> float:
    """Run ProDG on the same network with random weights; return how pure those prototypes are for the model explained.

    Each group of prototypes, made for one channel of the random network, is given to the channel of the model that it
    suits best, one to one. Purity as the random network sees it would say nothing: a random rotation of random
    channels has prototypes just as pure (benchmarks/results/prodg.md).

    Source:
        Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018: an explanation of a network must not survive
        the network's weights.

    Args:
        model: what is explained; it is not changed.
        features: of the samples, whose views are looked at again.
        source: the samples, whose latents are the starts.
        options: as in the run itself.
        units: channels of the model to compare with; as many channels of the random network climb.
        n: prototypes a channel.
        batch: images that climb together.
        schedule: of the rotation.
        workers: that climb.
        watch: called as it goes on.
    """
    random = with_random_weights(model, features.views, seed=options.seed)
    seen = collect(random, Images(features.views), workers=workers)
    mixing = fit_procrustes(seen, schedule.for_images(len(seen.kept)))
    use = usage_of(seen, Rotation(mixing, random.head.weight)).per_channel
    climber = replace(options, model=random, mixing=mixing.to(random.device))
    chosen = torch.from_numpy(use).topk(len(units)).indices.split(max(1, batch // n))
    groups = (
        starting_group(source, features.kept[best_samples(seen, mixing, part, n).rows], part, n) for part in chosen
    )
    found, stage = [], Stage("control: random weights", watch, total=len(units))
    shared = _Random(model=model, options=options, climber=climber, units=units)
    with spread(workers, shared, on_gpu=options.on_gpu) as each:
        for purity in each(_Random.purity, groups):
            found.append(purity)
            stage.add(len(purity))
    table = torch.cat(found).numpy()
    return float(table[linear_sum_assignment(table, maximize=True)].mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Random:
    """What groups share that climb for random weights and are read by the model explained."""

    model: SplitModel
    options: Climb
    climber: Climb
    units: Tensor

    def purity(self, group: Group) -> Float[Tensor, "made unit"]:
        """Return how pure what a group comes to is for channels of the model explained."""
        latents = climb(self.climber, group, lambda _: None).latents if self.options.steps else group.latents
        return _read_by(self.model, self.options, replace(group, latents=latents), self.units)


@torch.no_grad()
def _read_by(model: SplitModel, options: Climb, group: Group, units: Tensor) -> Float[Tensor, "made unit"]:
    """Return the mean purity of each group's images for channels of a model."""
    n = group.seeds.shape[1]
    latents = group.latents.expand(-1, n, -1).flatten(0, 1)
    images = options.make(latents.to(options.device), group.seeds.flatten().tolist())
    maps = model.features(model.preprocess.view(images)).flatten(2).cpu()
    mixing = options.mixing.cpu()
    return _answers(maps, mixing[units], mixing)[1].reshape(len(group.units), n, len(units)).mean(1)


def starting_group(source: Generated, rows: Int[Tensor, "unit rank"], units: Tensor, n: int) -> Group:
    """Return a group that begins with samples: one latent an image, or the best one for all where noise differs."""
    seeds = torch.tensor([source.seeds(part) for part in rows])
    latents = torch.stack([source.latents(part) for part in rows])
    if takes_seeds(source.generator):
        return Group(units=units, latents=latents[:, :1], seeds=seeds[:, :n])
    return Group(units=units, latents=latents, seeds=seeds)


def with_random_weights(model: SplitModel, views: UInt8[Tensor, "image colour h w"], *, seed: int) -> SplitModel:
    """Return a copy of a model with fresh random weights, its normalisations measured again on some views.

    Raises:
        ModelError: the copy cannot be cut as the model is.
    """
    network = copy.deepcopy(model.network)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed + _OTHER)  # a network that was never trained may have the seed itself
        _randomise(network)
        sample = views[:_VIEWS].float().div(255).to(model.device)
        with _measuring(network):
            network(model.preprocess.normalise(sample).to(model.dtype))
    return split(
        network.eval(),
        preprocess=model.preprocess,
        layer=model.layer,
        class_names=model.class_names,
        example=sample[:2],
    )


def _randomise(network: nn.Module) -> None:
    """Give every weight a new value: by the module's own rule, else normal with the old spread."""
    fresh: set[int] = set()
    for module in network.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
            fresh |= {id(parameter) for parameter in module.parameters(recurse=False)}
    for parameter in network.parameters():
        if id(parameter) not in fresh and parameter.is_floating_point():
            spread = float(parameter.std()) if parameter.numel() > 1 else 1.0
            parameter.normal_(0.0, spread if spread > 0 else 0.02)


@contextmanager
def _measuring(network: nn.Module) -> Iterator[None]:
    """Let batch normalisations take the mean and variance of what passes now."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    network.eval()
    kept = [module.momentum for module in norms]
    for module in norms:
        module.train()
        module.momentum = 1.0
    try:
        yield
    finally:
        for module, momentum in zip(norms, kept, strict=True):
            module.eval()
            module.momentum = momentum
