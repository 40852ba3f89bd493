"""Surroundings that carry a class: whether answers follow the edge of a picture when it is another picture's."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from likethat._progress import Stage, Watcher
from likethat.auditing.shortcuts import picture_of
from likethat.explanations import ImageStore
from likethat.explanations.audit import AuditedPicture, Finding
from likethat.features import Features, Forward
from likethat.features.rows import as_bytes, priority
from likethat.fitting.prototypes import as_picture, read_view
from likethat.models import SplitModel
from likethat.sources import IterableSource
from likethat.sources.base import ImageSource

_SHARE = 0.15  # of the pictures, each put into two edges: three tenths of a pass
_MOST, _FEWEST = 1024, 100  # pictures: beyond, the interval is narrower than what tells clean networks apart
_EDGE = 8
"""An edge is so much of a side. Networks that were taught scenes behind four classes and clean ones are less apart by
a sixteenth, and from three sixteenths on the edge holds too much of what the picture shows."""
_DEALT = 400  # draws of the null: its 95 % quantile is known to a tenth of its spread
_LEAST_EACH = 10  # pictures in edges of a class: the pull of fewer says nothing of it
_TWO_SIDED = 1.96  # standard errors to each side of 95 %
_DRAW = 19  # another draw of pictures than those of the other searches


@dataclass(frozen=True, kw_only=True, eq=False)
class _Put:
    """Pictures put into two edges each.

    Attributes:
        labels: (picture,) of what is in the middle.
        around: (picture,) label of the other edge.
        in_own: (picture,) what the model says in an edge of the same class.
        in_other: (picture,) what it says in the other edge.
    """

    labels: Tensor
    around: Tensor
    in_own: Tensor
    in_other: Tensor

    @property
    def pulled(self) -> Tensor:
        """(picture,) 1 where the other edge alone makes the model say its class, -1 where its own edge alone does."""
        return (self.in_other == self.around).double() - (self.in_own == self.around).double()


def find_surroundings(
    model: SplitModel,
    source: ImageSource | IterableSource,
    features: Features,
    *,
    n_pictures: int,
    seed: int,
    watch: Watcher | None = None,
) -> tuple[Finding | None, ImageStore]:
    """Put pictures into the edges of others, of their class and of another, and see which the answers follow.

    Source:
        Xiao et al. (2021), Noise or signal: the role of image backgrounds in object recognition: backgrounds swapped
        within a class and between classes.

    Differs:
        Nobody marked what is background: the edge stands for it, an eighth of each side. A picture in an edge of its
        own class is what the same picture in another's is compared with, so that the seam itself counts for neither.

    Args:
        model: that was audited.
        source: its pictures.
        features: of one pass over them.
        n_pictures: of each side.
        seed: of the draw, the partners and the null.
        watch: called as pictures go through the network.

    Returns:
        What was found, None where too few pictures have labels of several classes; and the pictures that it shows.
    """
    rows = _drawn(features, source, seed=seed)
    labels, shown = features.labels[rows], ImageStore()
    if len(rows) < _FEWEST or len(labels.unique()) < 2:
        return None, shown
    rng = torch.Generator().manual_seed(seed)
    partners = [_partners(labels, is_same=is_same, rng=rng) for is_same in (True, False)]
    views = _views(model, source, features, rows)
    forward, mask = Forward(model), _middle(views.shape[2:])
    stage, answers = Stage("swapping edges", watch, total=2 * len(rows)), []
    for partner in partners:
        said = []
        for some in torch.arange(len(rows)).split(forward.chunk):
            said.append(forward(_joined(views, some, partner[some], mask)).logits.argmax(1))
            stage.add(len(some))
        answers.append(torch.cat(said))
    put = _Put(labels=labels, around=labels[partners[1]], in_own=answers[0], in_other=answers[1])
    order = torch.where(put.pulled > 0)[0][:n_pictures].tolist()
    pictures = []
    for side, is_on in ((1, True), (0, False)):
        for place in order:
            key = f"edge-{side}-{int(features.indices[rows[place]]):07d}"
            at = torch.tensor([place])
            shown.add(key, as_picture(as_bytes(_joined(views, at, partners[side][at], mask))[0]))
            pictures.append(_picture(features, int(rows[place]), int(answers[side][place]), key=key, is_on=is_on))
    return _finding(put, model, tuple(pictures), n=int((features.labels >= 0).sum()), seed=seed), shown


def _finding(put: _Put, model: SplitModel, pictures: tuple[AuditedPicture, ...], *, n: int, seed: int) -> Finding:
    pulled = put.pulled
    score, error = float(pulled.mean()), float(pulled.std() / len(pulled) ** 0.5)
    rng = torch.Generator().manual_seed(seed)
    signs = 2 * torch.randint(2, (_DEALT, len(pulled)), generator=rng).double() - 1
    is_right, stays = put.in_own == put.labels, put.in_other == put.labels
    counts = torch.bincount(put.around)
    pulls = torch.zeros(len(counts), dtype=torch.float64).index_add(0, put.around, pulled) / counts.clamp_min(1)
    strongest = int(torch.where(counts >= _LEAST_EACH, pulls, -1.0).argmax())
    return Finding(
        kind="surroundings",
        score=score,
        interval=(score - _TWO_SIDED * error, score + _TWO_SIDED * error),
        null=float((signs @ pulled / len(pulled)).quantile(0.95)),
        agreement=float((is_right & ~stays).sum() / is_right.sum().clamp_min(1)),
        n_pictures=len(pulled),
        n_predictions=max(0, round(float((is_right.double() - stays.double()).mean()) * n)),
        facts={"strongest_pull": float(pulls[strongest])},
        pictures=pictures,
        what=model.class_names[strongest],
    )


def _drawn(features: Features, source: ImageSource | IterableSource, *, seed: int) -> Tensor:
    """Return rows with labels, a share of them; of a stream only those whose pictures are held."""
    is_held = torch.ones(len(features), dtype=torch.bool)
    if not isinstance(source, ImageSource):
        is_held = torch.zeros_like(is_held).index_fill(0, features.kept, True)
    rows = ((features.labels >= 0) & is_held).nonzero()[:, 0].tolist()
    rows.sort(key=lambda row: priority(seed + _DRAW, int(features.indices[row])))
    chosen = torch.tensor(rows[: min(_MOST, int(_SHARE * len(rows)))], dtype=torch.long)
    labels = features.labels[chosen]
    return chosen[torch.bincount(labels)[labels] > 1] if len(chosen) else chosen  # others have no partner


def _partners(labels: Tensor, *, is_same: bool, rng: torch.Generator) -> Tensor:
    """Return for each picture another, of the same class or of another class."""
    chances = torch.rand(len(labels), len(labels), generator=rng, dtype=torch.float32).fill_diagonal_(-1.0)
    return torch.where((labels[:, None] == labels) == is_same, chances, -1.0).argmax(1)


def _views(model: SplitModel, source: ImageSource | IterableSource, features: Features, rows: Tensor) -> Tensor:
    """Return the pictures as the network saw them, 8 bit: those that are held, the others read again."""
    slots = {row: slot for slot, row in enumerate(features.kept.tolist())}
    found = []
    for row in rows.tolist():
        if row in slots:
            found.append(features.views[slots[row]])
        else:
            found.append(as_bytes(read_view(model, source, int(features.indices[row]))))
    return torch.stack(found)


def _middle(size: torch.Size) -> Tensor:
    """Return (height, width) 1 in the middle and 0 at the edge, with a soft seam."""
    height, width = size
    mask = torch.zeros(1, 1, height, width, dtype=torch.float32)
    top, left = max(1, round(height / _EDGE)), max(1, round(width / _EDGE))
    mask[..., top : height - top, left : width - left] = 1
    seam = 2 * (min(top, left) // 2) + 1
    return torch.nn.functional.avg_pool2d(mask, seam, stride=1, padding=seam // 2)[0, 0]


def _joined(views: Tensor, some: Tensor, around: Tensor, mask: Tensor) -> Tensor:
    """Return pictures in the edges of others, in [0, 1]."""
    return (mask * views[some].float() + (1 - mask) * views[around].float()) / 255


def _picture(features: Features, row: int, predicted: int, *, key: str, is_on: bool) -> AuditedPicture:
    return replace(picture_of(features, row, is_on=is_on), image=key, predicted=predicted)
