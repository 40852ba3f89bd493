"""Everything that can be measured of a bank, given what is known of the images."""

import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from likethat._checks import check_count
from likethat._progress import Stage, Watcher
from likethat._session import in_own_session
from likethat.coordinates import PhotoRegions
from likethat.errors import InputError
from likethat.explanations import Bank, Explanation
from likethat.features import Features, collect
from likethat.metrics._against_truth import Explained, part_measures, remove_parts
from likethat.metrics.channels import held_out_purity
from likethat.metrics.deletion import Fill, delete_rows
from likethat.metrics.truth import EditableSource, PartTruth
from likethat.sources import as_source
from likethat.sources.base import ImageSource


@dataclass(frozen=True, kw_only=True)
class Measures:
    """How good a bank's prototypes and explanations are on images it was not fitted on; None where not measurable.

    Attributes:
        n_images: explained.
        purity: mean purity of each unit's five top images, in [-1, 1].
        coverage: mean share of the positive evidence that the shown rows carry.
        gap: largest relative difference between a logit and the sum of its terms.
        deletion_agreement: Spearman between shown contributions and the drops when their windows are blanked.
        deletion_drop: mean drop of the logit for a shown window.
        random_drop: mean drop for a random window of the same area.
        blur_agreement, blur_drop, blur_random_drop: the same with the windows out of focus instead of blank.
        part_consistency: share of units whose top images' boxes show one true part (80 % of them).
        modal_share: mean share of a unit's top images that show its most frequent part.
        surroundings: share of the units' boxes that show no part.
        box_match: share of shown rows whose box shows the part that the unit's top images show.
        pip_net_purity: mean share of a unit's ten top patches that hold one part's centre.
        huang_consistency: share of units with one part in their window in 80 % of the images that show them.
        huang_stability: share of (unit, image) pairs whose parts stay the same under noise.
        single_deletion: Spearman between what the shown rows locate on a part and the drop of the logit when the
            picture is drawn without it, in [-1, 1].
    """

    n_images: int
    purity: float
    coverage: float
    gap: float
    deletion_agreement: float
    deletion_drop: float
    random_drop: float
    blur_agreement: float
    blur_drop: float
    blur_random_drop: float
    part_consistency: float | None = None
    modal_share: float | None = None
    surroundings: float | None = None
    box_match: float | None = None
    pip_net_purity: float | None = None
    huang_consistency: float | None = None
    huang_stability: float | None = None
    single_deletion: float | None = None

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """Return what each measure says, by its name: the lines under Attributes, where each stands once."""
        lines = (inspect.getdoc(cls) or "").partition("Attributes:")[2].replace("\n        ", " ").strip().splitlines()
        told = [line.strip().partition(": ") for line in lines]
        return {name.strip(): meaning.rstrip(".") for names, _, meaning in told for name in names.split(",")}

    def row(self) -> dict[str, float | None]:
        """Return the measures by name."""
        return asdict(self)


@in_own_session
def evaluate(
    bank: Bank,
    images: Any,
    *,
    top: int = 4,
    n_explained: int = 200,
    n_deleted: int = 100,
    seed: int = 0,
    watch: Watcher | None = None,
) -> Measures:
    """Measure a bank on images that it was not fitted on.

    Args:
        bank: with its model.
        images: whatever `likethat` takes as images; parts are measured where the source knows them
            (`likethat.creatures`, at the size the model sees).
        top: rows an explanation.
        n_explained: images that are explained, the first ones.
        n_deleted: of these, how many take part in the deletion tests.
        seed: of the random windows and the noise.
        watch: called as the work goes on.

    Raises:
        BankError: the bank has no model.
        InputError: a bank of regions, or the images are a stream, or fewer than two that can be used.
    """
    check_count(n_explained, name="n_explained")
    check_count(n_deleted, name="n_deleted")
    if isinstance(bank.coordinates, PhotoRegions):
        raise InputError(
            "`bank` must have units that other images can show, got one of regions, which are each image's own. Its "
            "provenance.measures say what they are worth."
        )
    source = as_source(images)
    if not isinstance(source, ImageSource):
        raise InputError("`images` must be numbered, got a stream. Put them in a list or a folder.")
    features = collect(bank.model, source, watch=watch)
    if len(features) < 2:
        raise InputError(f"`images` must hold two images or more that can be used, got {len(features)}.")
    explained = _explain(bank, source, features.indices[:n_explained].tolist(), top=top, watch=watch)
    return Measures(
        n_images=len(explained.indices),
        purity=held_out_purity(features, bank.coordinates),
        coverage=float(np.mean([why.coverage for why in explained.explanations])),
        gap=max(abs(why.gap()) for why in explained.explanations),
        **_deletions(bank, explained.explanations[:n_deleted], seed),
        **_truths(bank, source, features, explained, n_deleted=n_deleted, seed=seed),
    )


def _explain(bank: Bank, source: ImageSource, indices: list[int], *, top: int, watch: Watcher | None) -> Explained:
    explained, stage = Explained(), Stage("explaining", watch, total=len(indices))
    for place, index in enumerate(indices):
        explained.add(index, bank.explain(source[index], top=top))
        stage(place + 1)
    return explained


def _deletions(bank: Bank, shown: Sequence[Explanation], seed: int) -> dict[str, float]:
    """Return the deletion tests' means for both fills, on the same random windows."""
    found: dict[str, float] = {}
    fills: dict[str, Fill] = {"": "mean", "blur_": "blur"}
    for prefix, fill in fills.items():
        rng = np.random.default_rng(seed)
        tests = [delete_rows(bank.model, why, rng=rng, fill=fill) for why in shown]
        found[f"{prefix or 'deletion_'}agreement"] = float(np.mean([test.agreement for test in tests]))
        found[f"{prefix or 'deletion_'}drop"] = float(np.mean([test.shown_drop for test in tests]))
        found[f"{prefix}random_drop"] = float(np.mean([test.random_drop for test in tests]))
    return found


def _truths(
    bank: Bank, source: ImageSource, features: Features, explained: Explained, *, n_deleted: int, seed: int
) -> dict[str, float]:
    """Return the measures against the truth that the source makes possible."""
    truth = _truth(source, features)
    if truth is None:
        return {}
    found = part_measures(bank, features, truth, explained, seed=seed)
    if isinstance(source, EditableSource):
        found["single_deletion"] = remove_parts(bank.model, source, truth, explained, n=n_deleted)
    return found


def _truth(source: Any, features: Features) -> PartTruth | None:
    """Return the source's truth, where its pictures and the views are the same pixels."""
    height, width = features.views.shape[-2:]
    if not getattr(source, "size", None) == height == width:
        return None
    try:
        return PartTruth(source)
    except InputError:
        return None
