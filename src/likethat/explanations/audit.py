"""What looks wrong with a model: shortcuts it may take, labels that may be wrong, and what else was found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from likethat._calls import public
from likethat._session import in_own_session
from likethat.explanations.images import ImageStore
from likethat.explanations.records import Provenance
from likethat.explanations.result import Result
from likethat.explanations.saved import write_result

CLEAR = 0.15
"""Score on pictures that a direction was not found on, from which on it is called a shortcut. Chosen on clean and
planted networks that are measured nowhere; of those that are measured, clean ones reach .1 and planted ones that are
found .7 to 2 (benchmarks/results/audit.md)."""
NO_LABELS = (
    "The pictures have no labels: the model's own classes stood in for them, no accuracy is known, and no label can be "
    "doubtful."
)
"""What an audit of such pictures notes; its headline then says nothing of labels."""
LEAST: Mapping[str, float] = {"copies": 0.0, "slice": 0.05, "unlike": 0.002, "surroundings": 0.15, "labels": 0.0}
"""What a finding's score must lie above, kind by kind, beside its null: what pictures and networks show in which
nothing is wrong (docs/methods.md)."""
_GROUP = 5  # pictures of a class and state, below which their accuracy is not said


@dataclass(frozen=True, kw_only=True)
class AuditedPicture:
    """A picture of a finding.

    Attributes:
        image: key of the picture in ``audit.images``.
        source: where it came from.
        index: the item's number in its source.
        label: the model's class that the data gives; None where it gives none.
        predicted: the class of the highest logit.
        is_on: whether the finding's state is on.
    """

    image: str
    source: str
    index: int
    label: int | None
    predicted: int
    is_on: bool


@dataclass(frozen=True, kw_only=True)
class DoubtfulLabel:
    """A picture whose evidence is another class's than its label's.

    Attributes:
        picture: itself.
        own: the model's probability of the label, in [0, 1].
        other: of the class that it gives instead, in [0, 1].
    """

    picture: AuditedPicture
    own: float
    other: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Shortcut:
    """A direction of the pooled features along which pictures come in two states, and which classes have which.

    Attributes:
        reader: (channel,) r: r' x says whether the state is on, 1 apart.
        direction: (channel,) d: what the state adds to the features; r' d = 1.
        cut: (class,) r' x of a picture of the class above which the state is on.
        share: (class,) of each class's pictures that are on, in [0, 1]; NaN of a class without pictures.
        score: gain times spread, on pictures that the direction was not found on; see `CLEAR`.
        interval: of the score, 95 % by drawing these pictures again.
        null: the score, found and measured in the same way, of Gaussian features, where nothing comes in states.
        gain: nats a picture by which two states fit better than one, on the same pictures.
        separation: distance of the states over the standard deviation within one.
        agreement: share of pictures whose state is the same where the direction is found again without them, in [0, 1].
        n_on: pictures that are on.
        n_predictions: predictions that change when it is taken out.
        counts: (class, off or on) labelled pictures that were kept back for measuring.
        right_before: (class, off or on) of these, how many the model gives their label.
        right_after: likewise when the direction is taken out.
        bias: (class,) of the head without the direction, such that classes are as frequent as labels.
        pictures: of both states.
        fingerprint: of the model.
    """

    reader: Float[NDArray[np.float32], " channel"]
    direction: Float[NDArray[np.float32], " channel"]
    cut: Float[NDArray[np.float32], " cls"]
    share: Float[NDArray[np.float32], " cls"]
    score: float
    interval: tuple[float, float]
    null: float
    gain: float
    separation: float
    agreement: float
    n_on: int
    n_predictions: int
    counts: Int[NDArray[np.int64], "cls 2"]
    right_before: Int[NDArray[np.int64], "cls 2"]
    right_after: Int[NDArray[np.int64], "cls 2"]
    bias: Float[NDArray[np.float32], " cls"]
    pictures: tuple[AuditedPicture, ...]
    fingerprint: str

    @property
    def is_clear(self) -> bool:
        """Whether it is above what clean networks reach, and above the null, by its interval's lower end."""
        return self.interval[0] > max(CLEAR, self.null)

    @property
    def accuracy(self) -> tuple[float, float]:
        """On labelled pictures kept back, before and after it is taken out; NaN without labels."""
        total = int(self.counts.sum())
        hits = (int(self.right_before.sum()), int(self.right_after.sum()))
        return (hits[0] / total, hits[1] / total) if total else (float("nan"), float("nan"))

    @property
    def balanced(self) -> tuple[float, float]:
        """Mean accuracy of all classes and states of at least five such pictures, before and after; NaN without any."""
        return self._over_groups(np.mean)

    @property
    def worst(self) -> tuple[float, float]:
        """Accuracy of the worst class and state of at least five pictures, before and after; NaN without any."""
        return self._over_groups(np.min)

    def _over_groups(self, joined: Callable[[NDArray[np.float64]], Any]) -> tuple[float, float]:
        enough = self.counts >= _GROUP
        if not enough.any():
            return float("nan"), float("nan")
        before, after = (right[enough] / self.counts[enough] for right in (self.right_before, self.right_after))
        return float(joined(before)), float(joined(after))


@dataclass(frozen=True, kw_only=True, eq=False)
class Finding:
    """Something else that looks wrong.

    Attributes:
        kind: "copies": test pictures that are near copies of training pictures; "slice": pictures that share something
            and are wrong more often than their classes; "unlike": pictures unlike those learned from;
            "surroundings": answers follow the edge of a picture when it is another picture's; "labels": all doubtful
            labels together.
        score: share of the test pictures that are copies; of a slice, how much more of it is wrong than of its classes,
            on pictures that it was not found on; share of the pictures that are unlike the others; of
            surroundings, how much more often the class of the edge is answered than where the edge is of the own class;
            share of the labels that are doubtful.
        interval: of the score, 95 %.
        null: the score of chance, or where nothing is wrong, found and measured in the same way.
        agreement: share of the pictures that a second measure finds too, in [0, 1]: of copies, that the network sees
            the original as one of the nearest training pictures; of a slice, that are in that of the other half; of
            pictures unlike others, that have no near neighbour; of surroundings, that are right in an edge of their own
            class alone, of those right there; of labels, whose nearest pictures mostly have the predicted class.
        n_pictures: that are concerned.
        n_predictions: that hang on it: of copies, those that say nothing of pictures never seen; of a slice, those
            wrong beyond what its classes would be; of pictures unlike others, each; of surroundings, the
            right ones that hold in edges of the own class alone.
        facts: further numbers by name.
        pictures: those concerned (`is_on`), and others to compare them with; of copies, each before its original.
        what: they share, of a slice; the class whose edges pull most, of surroundings; else empty.
    """

    kind: Literal["copies", "slice", "unlike", "surroundings", "labels"]
    score: float
    interval: tuple[float, float]
    null: float
    agreement: float
    n_pictures: int
    n_predictions: int
    facts: Mapping[str, float]
    pictures: tuple[AuditedPicture, ...]
    what: str = ""

    @property
    def is_clear(self) -> bool:
        """Whether it is above what is found where nothing is wrong, by its interval's lower end."""
        return self.interval[0] > max(LEAST[self.kind], self.null)


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class Audit(Result):
    """What looks wrong with a model on some pictures.

    Attributes:
        shortcuts: directions that pictures come in two states along, the one that most predictions hang on first; those
            that are not `is_clear` are there to be looked at.
        doubtful: labels that may be wrong, those of the least probability first; at most as many as were asked for.
        n_doubtful: how many there are in all.
        class_names: of the model.
        images: the pictures shown.
        provenance: how it was made.
        findings: what else looks wrong, of each kind at most one, in any order.
    """

    shortcuts: tuple[Shortcut, ...]
    doubtful: tuple[DoubtfulLabel, ...]
    n_doubtful: int
    class_names: tuple[str, ...]
    images: ImageStore
    provenance: Provenance
    findings: tuple[Finding, ...] = ()

    @property
    def ranked(self) -> tuple[Shortcut | Finding, ...]:
        """Shortcuts and other findings, the clear ones first, of these the one that most predictions hang on."""
        return tuple(sorted((*self.shortcuts, *self.findings), key=lambda one: (not one.is_clear, -one.n_predictions)))

    @property
    def clear(self) -> tuple[Shortcut, ...]:
        """The shortcuts that are above what clean networks reach."""
        return tuple(one for one in self.shortcuts if one.is_clear)

    def _line(self) -> str:
        about = self.provenance
        n, n_others = len(self.clear), sum(one.is_clear for one in self.findings if one.kind != "labels")
        others = f", {n_others} other {'finding' if n_others == 1 else 'findings'}" if n_others else ""
        return (
            f"<Audit of {about.model} on {about.n_images:,} pictures: {n} {'shortcut' if n == 1 else 'shortcuts'}, "
            f"{self.n_doubtful} doubtful {'label' if self.n_doubtful == 1 else 'labels'}{others}>"
        )

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_result(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        facts = {name: value for name, value in vars(self).items() if name != "images"}
        for name in ("shortcuts", "findings"):
            facts[name] = [{**vars(one), "is_clear": one.is_clear} for one in getattr(self, name)]  # of old files too
        return facts

    def _columns(self) -> dict[str, Any]:
        found = self.ranked
        names = ("score", "null", "gain", "separation", "agreement", "n_on", "n_pictures", "n_predictions", "is_clear")
        columns: dict[str, Any] = {"kind": [getattr(one, "kind", "shortcut") for one in found]}
        columns |= {name: [getattr(one, name, None) for one in found] for name in names}
        for place, end in enumerate(("low", "high")):
            columns[f"score_{end}"] = [one.interval[place] for one in found]
        for name in ("accuracy", "balanced", "worst"):
            for place, when in enumerate(("before", "after")):
                columns[f"{name}_{when}"] = [getattr(one, name, (None, None))[place] for one in found]
        return columns
