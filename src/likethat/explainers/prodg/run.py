"""One run of ProDG after its samples were looked through: rotation, climbing, controls, bank."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from likethat._checkpoint import Checkpoint
from likethat._documents import going_on_from
from likethat._progress import Clock, Stage, Watcher
from likethat._workers import Cluster, spread
from likethat.coordinates import Rotation
from likethat.errors import InputError, ModelError
from likethat.explainers.prodg.ascent import Climb
from likethat.explainers.prodg.channels import best_samples, channels_of_class
from likethat.explainers.prodg.climbing import RESTARTS, SILENT, Climbed, Climber
from likethat.explainers.prodg.controls import best_of_prior, made_for_random_weights, starting_group
from likethat.explainers.prodg.work import CONTROL_UNITS
from likethat.explanations import Bank, ImageStore, Prototype
from likethat.features import Features, collect
from likethat.fitting.fitting import Begun, provenance_of
from likethat.fitting.prototypes import Candidates, gather_prototypes
from likethat.fitting.rotation import Schedule
from likethat.fitting.usage import usage_of
from likethat.generators.generated import Generated, make_images
from likethat.models import SplitModel
from likethat.options import ProDGOptions
from likethat.search import varying_units

SCHEDULE = Schedule(first=100, last=14, rounds=8)
_OF_PRIOR = 1000  # samples that give its spread, to 2 %


@dataclass(kw_only=True, eq=False)
class Run:
    """A run: what was asked for, and what was made of it so far."""

    method: ProDGOptions
    name: str
    find_mixing: Callable[[Features, Checkpoint | None, Watcher | None], Tensor]
    model: SplitModel
    begun: Begun
    target: int | None
    watch: Watcher | None
    notes: list[str] = field(default_factory=list)
    _done: Climbed | None = None

    @property
    def source(self) -> Generated:
        """The samples."""
        assert isinstance(self.begun.source, Generated)
        return self.begun.source

    def bank(self, *, n_channels: int, channels: Sequence[int] | None, clock: Clock) -> Bank:
        """Do all that is left and return the bank."""
        features = self.begun.features
        self._check_samples()
        mixing = self.find_mixing(features, self.begun.checkpoint, self.watch)
        rotation = Rotation(mixing, self.model.head.weight)
        units = self._units(rotation, n_channels, channels)
        climbed = self._climb(mixing, units)
        live = climbed.purity.amax(1) > SILENT
        prototypes, pictures = self._prototypes(rotation, climbed, units[~live])
        measures = self._measures(mixing, climbed, live, prototypes)
        usage = usage_of(features, rotation)
        measures |= {"coverage_of_4": usage.coverage} | self._controls(mixing, climbed, live)
        self._note(units, live, climbed)
        return Bank(
            coordinates=rotation,
            prototypes=prototypes,
            images=pictures,
            head=self.model.head,
            class_names=self.model.class_names,
            provenance=provenance_of(
                self.model,
                features,
                method=self.name,
                options={**self.method.options(), "target": self.target},
                seed=self.method.seed,
                seconds=clock.seconds,
                measures=measures,
                notes=self.notes,
                reports_data=False,
            ),
            usage=usage.per_channel,
            model=self.model,
        )

    def _check_samples(self) -> None:
        means = self.begun.features.means
        if float((means - means[0]).abs().max()) == 0:
            raise InputError(
                f"`generator` must make images that differ, got {len(means)} with the same features from "
                f"{type(self.method.generator).__name__}."
            )

    def _units(self, rotation: Rotation, n_channels: int, channels: Sequence[int] | None) -> Int[Tensor, " unit"]:
        if channels is not None:
            return torch.tensor(channels)
        if self.target is None:
            return torch.arange(rotation.n_units)
        head = rotation.mixed_head.cpu()
        return channels_of_class(self.begun.features, rotation.matrix(), head, self.target, n_channels)

    def _climber(self, mixing: Tensor) -> Climb:
        method = self.method
        sample = method.generator.prior.sample(_OF_PRIOR, rng=torch.Generator().manual_seed(method.seed))
        search: str = method.algorithm
        if search == "auto":
            search = "gradient" if self._has_gradient() else "evolution"
        return Climb(
            model=self.model, generator=method.generator, mixing=mixing.to(self.model.device),
            scale=sample.float().std(0).clamp_min(1e-6), search=search, steps=method.steps, step=method.step,
            closeness=method.closeness, diversity=method.diversity, mixed_precision=method.mixed_precision,
            seed=method.seed,
        )  # fmt: skip

    def _has_gradient(self) -> bool:
        """Try whether a gradient flows from the features to a latent."""
        if not self.method.generator.differentiable:
            return False
        rows = torch.zeros(1, dtype=torch.long)
        latent = self.source.latents(rows).requires_grad_(True)
        try:
            made = make_images(self.method.generator, latent, seeds=[0])
            return bool(self.model.features(self.model.preprocess.view(made)).requires_grad)
        except RuntimeError:
            return False

    def _climb(self, mixing: Tensor, units: Int[Tensor, " unit"]) -> Climbed:
        """Climb group by group; what is done lies in the checkpoint."""
        options, method = self._climber(mixing), self.method
        if options.search != "gradient" and method.steps:
            self.notes.append(f"Prototypes were found without gradients ({options.search}).")
        self._done = self._load()
        before = set() if self._done is None else set(self._done.units.tolist())
        per_unit = (method.steps + 1) * method.n_prototypes
        stage = Stage("climbing", self.watch, total=len(units) * per_unit, done=len(before) * per_unit)
        groups = units.split(max(1, method.batch // method.n_prototypes))
        begun = (self._beginning(mixing, group) for group in groups if int(group[0]) not in before)
        told = None if isinstance(self.begun.workers, Cluster) else stage.add
        with (
            self._leaving(),
            spread(self.begun.workers, Climber(options=options, told=told), on_gpu=options.on_gpu) as each,
        ):
            for found in each(Climber.risen, begun):
                if told is None:
                    stage.add(len(found.units) * per_unit)
                self._done = found if self._done is None else self._done.joined(found)
                if self.begun.checkpoint and self.begun.checkpoint.is_due():
                    self._leave()
        assert self._done is not None
        return self._done

    @contextmanager
    def _leaving(self) -> Iterator[None]:
        """Leave the channels that are done when the climbing ends, also by Ctrl-C or NaN from the generator."""
        try:
            yield
        finally:
            self._leave()

    def _beginning(self, mixing: Tensor, units: Tensor) -> Climbed:
        """Return a group of channels with the samples that they begin with."""
        n = self.method.n_prototypes
        starts = best_samples(self.begun.features, mixing, units, n)
        group = starting_group(self.source, starts.rows, units, n)
        return Climbed(
            units=units, latents=group.latents, seeds=group.seeds, purity=starts.purity, start=starts.purity.clone()
        )

    def _leave(self) -> None:
        checkpoint, done = self.begun.checkpoint, self._done
        if checkpoint and done is not None:
            checkpoint.write_state("climbed", done.tensors(), {"calls": done.calls, "restarted": done.restarted})

    def _load(self) -> Climbed | None:
        state = self.begun.checkpoint.read_state("climbed") if self.begun.checkpoint else None
        if state is None or self.begun.checkpoint is None:
            return None
        columns: dict[str, Any] = {**state[0], **state[1]}
        with going_on_from(self.begun.checkpoint.folder):
            return Climbed(**columns)

    def _prototypes(
        self, rotation: Rotation, climbed: Climbed, dead: Int[Tensor, " unit"]
    ) -> tuple[list[Prototype], ImageStore]:
        """Gather what climbed, and the samples of highest and lowest activation of all other channels."""
        features, n = self.begun.features, self.method.n_prototypes
        samples, pictures = gather_prototypes(
            self.model, self.source, features, rotation, n=n, prefix="sample", watch=self.watch
        )
        own = set(climbed.units.tolist())
        silent = set(dead.tolist())
        found = [
            item for item in samples if item.unit not in silent and not (item.unit in own and item.kind == "positive")
        ]
        live = [place for place, unit in enumerate(climbed.units.tolist()) if unit not in silent]
        kept = ImageStore()
        kept.take(pictures, sorted({item.image for item in found}))
        if live:
            made, made_pictures = self._made(rotation, climbed, live)
            found += made
            kept.take(made_pictures, made_pictures)
        found.sort(key=lambda item: (item.unit, item.kind == "negative", item.rank))
        return [replace(item, index=-1) for item in found], kept

    def _made(self, rotation: Rotation, climbed: Climbed, live: Sequence[int]) -> tuple[list[Prototype], ImageStore]:
        n, places = self.method.n_prototypes, torch.tensor(live)
        units = climbed.units[places]
        latents = climbed.latents[places].expand(-1, n, -1)
        how = f"climbed {self.method.steps} steps" if self.method.steps else "a sample"
        source = Generated(
            self.method.generator,
            latents=latents.flatten(0, 1),
            seeds=climbed.seeds[places].flatten().tolist(),
            names=[f"made for channel {unit}, {how}" for unit in units.tolist() for _ in range(n)],
        )
        seen = collect(self.model, source, workers=self.begun.workers, watch=self.watch)
        among = [
            Candidates(units=units[place : place + 1], rows=torch.arange(place * n, (place + 1) * n))
            for place in range(len(units))
        ]
        made, pictures = gather_prototypes(
            self.model, source, seen, rotation, n=n, among=among, with_negative=False, prefix="made"
        )
        ranked = sorted(made, key=lambda item: (item.unit, -item.purity))
        return [replace(item, rank=place % n) for place, item in enumerate(ranked)], pictures

    def _measures(
        self, mixing: Tensor, climbed: Climbed, live: Tensor, prototypes: Sequence[Prototype]
    ) -> dict[str, float]:
        own = set(climbed.units[live].tolist())
        purity = [item.purity for item in prototypes if item.kind == "positive" and item.unit in own]
        others = torch.ones(len(mixing), dtype=torch.bool)
        others[climbed.units] = False
        idle = int((others & ~varying_units(self.begun.features.means, mixing)).sum())
        return {
            "purity": float(sum(purity) / max(1, len(purity))),
            "purity_of_samples": float(climbed.start[live].mean()) if bool(live.any()) else 0.0,
            "climbing_channels": float(len(climbed.units)),
            "dead_channels": float(int((~live).sum())) + idle,
            "generator_calls": float(self.method.n_samples + climbed.calls),
        }

    def _controls(self, mixing: Tensor, climbed: Climbed, live: Tensor) -> dict[str, float]:
        method = self.method
        if not method.controls or not bool(live.any()):
            return {}
        units = climbed.units[live]
        many = Generated(method.generator, method.n_samples + climbed.calls, seed=method.seed)
        how: dict[str, Any] = {"n": method.n_prototypes, "workers": self.begun.workers, "watch": self.watch}
        prior = best_of_prior(self.model, many, self.begun.features, mixing, units, **how)
        found = {"control_prior_purity": float(prior.mean())}
        compared = torch.linspace(0, len(units) - 1, min(CONTROL_UNITS, len(units)), dtype=torch.float32).round().long()
        try:
            random = made_for_random_weights(
                self.model,
                self.begun.features,
                self.source,
                self._climber(mixing),
                units[compared],
                batch=method.batch,
                schedule=SCHEDULE,
                **how,
            )
        except (ModelError, InputError) as error:
            self.notes.append(f"The control with random weights could not be run: {error}")
            return found
        ours = float(climbed.purity[live][compared].mean())
        return found | {"control_random_purity": random, "purity_beside_random": ours}

    def _note(self, units: Tensor, live: Tensor, climbed: Climbed) -> None:
        n_dead = int((~live).sum())
        if n_dead:
            self.notes.append(
                f"{n_dead:,} of {len(units):,} channels are dead: no image that the generator makes activates them, "
                f"though they were begun anew {RESTARTS} times. They have no prototypes."
            )
        if len(units) < self.model.n_channels:
            self.notes.append(
                f"{len(units):,} of {self.model.n_channels:,} channels climbed; the others show their best samples."
            )
        self.notes.append(
            f"No image was opened: {self.method.n_samples + climbed.calls:,} images were made by "
            f"{type(self.method.generator).__name__}."
        )
