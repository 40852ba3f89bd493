"""Post-hoc part prototypes: every class's head vector split exactly into parts.

Source:
    Tan, Zhou, Chen (2024), Post-hoc part-prototype networks, ICML, arXiv 2406.03421. Written from the paper's
    equations.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public
from likethat._checkpoint import EVERY
from likethat._options import shown
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat._vectors import rows_of
from likethat._workers import Cluster
from likethat.coordinates import HeadParts
from likethat.errors import InputError
from likethat.explainers.parts.cells import classes_of
from likethat.explainers.parts.few import Few, chosen_algorithm
from likethat.explainers.parts.fit import PartFit
from likethat.explainers.parts.judging import judge_by_deletion
from likethat.explainers.parts.splitting import SHARINGS
from likethat.explanations import Bank, Prototype, Provenance
from likethat.features import Features
from likethat.fitting.fitting import begin, provenance_of
from likethat.fitting.held_out import judge, kept_back, nothing_sentence, own_channels, too_few_sentence
from likethat.fitting.prototypes import Candidates, gather_prototypes
from likethat.fitting.usage import Use
from likethat.functional import coverage
from likethat.functional.familiarity import familiar
from likethat.models import SplitModel
from likethat.options import PartsOptions
from likethat.sources import Marks

_TOO_FEW = (
    "Too few images of any class to keep one for measuring: purity and coverage are those of the images that were "
    "fitted to, and flatter. Give five images of a class or more."
)


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class PartPrototypes(PartsOptions):
    """Split what a network looks for in each class into parts that add up to the class's head vector.

    The logits stay the network's own, because the parts of a class sum to its row of the head.

    Of each class with five images or more a fifth takes no part in the fit: purity, coverage and agreement with
    deletion are measured there (`Provenance.measures`). A found part whose cells hold little of the class's evidence is
    called "surroundings / weak" and stands last; its contribution stays exact.

    Source:
        Tan, Zhou, Chen (2024): factorise the cells of a class, scale the parts by least squares, share the residual.

    Differs:
        By default contributions come from ownership regression (docs/methods.md): with the paper's sharing
        (``algorithm="shared"``) a third of the parts count against their own class (benchmarks/results/parts.md). The
        shares of the residual minimise an objective of ours (`likethat.functional.sharing.share_objective`). Features
        that can be negative are factorised with what is below 0 in channels of its own. Images belong to a class by
        label or by prediction.

    Example:
        >>> import torch, likethat as lt
        >>> images = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        >>> network = torch.nn.Sequential(
        ...     torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        ...     torch.nn.Linear(8, 2)).eval()
        >>> bank = lt.PartPrototypes(n_parts=2, n_prototypes=3).fit(lt.split(network, example=images[:4]), images)
        >>> abs(bank.explain(images[0]).gap()) < 1e-5
        True
    """

    name: ClassVar[str] = "PartPrototypes"

    def shares(self, sizes: Float[Tensor, " part"]) -> Float[Tensor, " part"]:
        """Return each part's share of the residual, for the sizes of the parts' heat maps (``algorithm="shared"``)."""
        return SHARINGS[self.sharing](sizes)

    def fit(
        self,
        model: SplitModel | nn.Module,
        images: Any,
        *,
        labels: Any = None,
        parts: Any = None,
        memory_budget: int | str = 2 * 2**30,
        batch_size: int = 32,
        workers: int | str | Cluster = 0,
        checkpoint: str | Path | None = None,
        checkpoint_every: float = EVERY,
        resume: bool = False,
        watch: Watcher | None = None,
    ) -> Bank:
        """Find the parts of every class and their prototypes.

        Args:
            model: from `likethat.split` or `likethat.load`; a network is split, as `likethat.split` would.
            images: a folder, arrays, tensors in [0, 1], a data set, or any `ImageSource`.
            labels: which class an image is for: None for the source's labels, matched with the model's classes by name
                (the model's predictions where none is), ``"given"`` for these alone, ``"predicted"``, or one class an
                image, by index or by name.
            parts: marks of parts on a few of the images (`likethat.Marks`), for ``algorithm="named"``.
            memory_budget: bytes for feature maps, or a text such as "2GB"; past it parts are learned on a random part
                of the images.
            batch_size: images decoded at a time; the result does not depend on it.
            workers: threads that decode; or ``"ray"``, ``"ray:2"``, ``"ray://host:port"``: processes, GPUs and machines
                that Ray runs (docs/guide/workers.md). The result does not depend on it, to the byte.
            checkpoint: folder to leave an unfinished pass in; removed when the bank is saved.
            checkpoint_every: seconds until its first piece, and between two; more where writing takes more than a
                tenth of the time.
            resume: go on from `checkpoint`.
            watch: called with a `Progress` as the work goes on.

        Raises:
            NotLinearError: the model's head is not linear in its pooled features.
            InputError: no image can be used, labels that are no classes, or marks that fit no image.
        """
        clock = Clock()
        self._check_marks(parts)
        begun = begin(
            model,
            images,
            method=self.name,
            options=self.options(),
            seed=self.seed,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
            resume=resume,
            memory_budget=memory_budget,
            batch_size=batch_size,
            workers=workers,
            watch=watch,
        )
        model, source, features = begun.model, begun.source, begun.features
        with begun.work():
            classes = classes_of(features, labels, model.class_names)
            chosen, notes = self._chosen(classes, model.n_classes)
            if chosen.algorithm in ("superclasses", "regions"):
                few = Few(
                    model=model,
                    features=features,
                    source=source,
                    classes=classes,
                    options=chosen,
                    watch=watch,
                    notes=notes,
                )
                return begun.finished(chosen._of_few(few, clock))
            back = kept_back(features, classes, seed=self.seed)
            work = PartFit(
                model=model,
                source=source,
                features=features,
                classes=classes,
                options=chosen,
                shares=self.shares,
                back=back,
                watch=watch,
            )
            bank = chosen._bank(work, work.run(parts), clock)
        return begun.finished(bank, back)

    def _chosen(self, classes: Tensor, n_classes: int) -> tuple[Self, list[str]]:
        """Return the method with the algorithm that is used, and a sentence that says why where that is another."""
        if self.algorithm != "auto":
            return self, []
        algorithm, why = chosen_algorithm(classes, n_classes)
        return replace(self, algorithm=algorithm), [why] if why else []

    def _bank(self, work: PartFit, coordinates: HeadParts, clock: Clock) -> Bank:
        """Choose the prototypes of each part among its class's images, and put everything together."""
        model, features = work.model, work.features
        among = [
            Candidates(units=coordinates.units_of(target), rows=(work.classes == target).nonzero()[:, 0])
            for target in range(model.n_classes)
        ]
        prototypes, pictures = gather_prototypes(
            model,
            work.source,
            features,
            coordinates,
            n=self.n_prototypes,
            among=among,
            with_negative=False,
            watch=work.watch,
        )
        use = _use_of(features, coordinates)
        work.measures |= _judged(work, coordinates)
        return Bank(
            coordinates=coordinates,
            prototypes=prototypes,
            images=pictures,
            head=model.head,
            class_names=model.class_names,
            provenance=self._provenance(work, prototypes=prototypes, use=use, seconds=clock.seconds),
            usage=use.per_channel,
            familiar=familiar(features.pooled),
            model=model,
        )

    def _of_few(self, work: Few, clock: Clock) -> Bank:
        """Share out the cells of images among parts of superclasses, or among their own regions."""
        model, features = work.model, work.features
        coordinates = work.superclasses() if self.algorithm == "superclasses" else work.regions()
        prototypes, pictures = work.prototypes(coordinates)
        use = work.use(coordinates)
        measures = {"purity": float(np.mean([item.purity for item in prototypes]))}
        measures |= work.measures | work.judged(coordinates)
        is_known = "held_out_purity" in measures
        return Bank(
            coordinates=coordinates,
            prototypes=prototypes,
            images=pictures,
            head=model.head,
            class_names=model.class_names,
            provenance=provenance_of(
                model,
                features,
                method=self.name,
                options=self.options(),
                seed=self.seed,
                seconds=clock.seconds,
                measures=measures,
                notes=work.notes,
                unit="part" if self.algorithm == "superclasses" else "region",
                verdict=nothing_sentence(measures, noun="part") if is_known else too_few_sentence(),
            ),
            usage=use.float().numpy(),
            familiar=familiar(features.pooled),
            model=model,
        )

    def _check_marks(self, parts: Any) -> None:
        if self.algorithm == "named" and parts is None:
            raise InputError(
                "`parts` must be marks of parts for algorithm='named', got None. Read them with "
                "likethat.Marks.read(path), or leave algorithm out to find parts without marks."
            )
        if parts is not None and not isinstance(parts, Marks):
            raise InputError(
                f"`parts` must be likethat.Marks, got {shown(parts)}. Make them with likethat.Marks.of({{...}}), or "
                "read them with likethat.Marks.read(path)."
            )
        if self.algorithm != "named" and parts is not None:
            raise InputError(f"`algorithm` must be 'named' where `parts` are given, got {self.algorithm!r}.")

    def _provenance(
        self,
        work: PartFit,
        *,
        prototypes: list[Prototype],
        use: Use,
        seconds: float,
    ) -> Provenance:
        model, features = work.model, work.features
        measures = {
            "purity": float(np.mean([item.purity for item in prototypes])) if prototypes else 0.0,
            "coverage_of_4": use.coverage,
            "parts_per_class": len(use.per_channel) / model.n_classes,
        }
        return provenance_of(
            model,
            features,
            method=self.name,
            options=self.options(),
            seed=self.seed,
            seconds=seconds,
            measures=measures | work.measures,
            notes=work.notes,
            skipped=work.skipped,
            unit="part",
            verdict=nothing_sentence(work.measures, noun="part") if len(work.back) else _TOO_FEW,
        )


def _judged(work: PartFit, coordinates: HeadParts) -> dict[str, float]:
    """Return what the parts are worth on the images that were kept back, beside the network's own channels."""
    model, features, back = work.model, work.features, work.back
    measures = {"held_out_images": float(len(back))}
    if not len(back):
        return measures
    own = own_channels(model.head.weight.cpu())
    measures |= judge(features, back, coordinates, classes=work.classes).measures("held_out")
    measures |= judge(features, back, own).measures("own")
    return measures | judge_by_deletion(model, features, back, coordinates)


def _use_of(features: Features, coordinates: HeadParts) -> Use:
    """Measure what each part supplies to the classes that the model gives the images, one class after the other."""
    total, covered = torch.zeros(coordinates.n_units, dtype=torch.float64), 0.0
    for target in sorted(set(features.predicted.tolist())):
        rows = (features.predicted == target).nonzero()[:, 0]
        values = coordinates.supplied(target, rows_of(features.pooled, rows))
        total[coordinates.units_of(target)] += values.abs().sum(0)
        covered += float(coverage(values, top=4).sum())
    return Use(per_channel=(total / len(features)).float().numpy(), coverage=covered / len(features))
