"""`likethat.audit`: one pass over labelled pictures, and what looks wrong in it."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from likethat._calls import public
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat.auditing.copies import find_copies
from likethat.auditing.labels import find_doubtful, weigh_doubts
from likethat.auditing.shortcuts import find_shortcuts, picture_of
from likethat.auditing.slices import find_slice
from likethat.auditing.surroundings import find_surroundings
from likethat.auditing.unlike import find_unlike
from likethat.explanations import ImageStore
from likethat.explanations.audit import NO_LABELS, Audit, Finding
from likethat.features import Features
from likethat.fitting.fitting import Begun, begin, provenance_of
from likethat.fitting.prototypes import as_picture, look
from likethat.models import Head, SplitModel
from likethat.options import AuditOptions
from likethat.sources import as_source

_ENOUGH = 2000
"""Pictures, of which a colour cast was found; half of them showed a badge, a texture and a roaming badge alone."""


@public
@in_own_session
def audit(
    model: SplitModel | nn.Module,
    images: Any,
    *,
    n_shortcuts: int = 3,
    n_pictures: int = 6,
    n_labels: int = 24,
    seed: int = 0,
    test: Any = None,
    memory_budget: int | str = 2**28,
    batch_size: int = 32,
    workers: int | str = 0,
    watch: Watcher | None = None,
) -> Audit:
    """Look for what is wrong with a model, its pictures and its labels, in 1.3 passes over the pictures.

    A shortcut lies along one direction of the pooled features, spread over all channels: pictures come in two states
    along it, and some classes have one state more than others. Each finding is measured again on pictures that it was
    not found on, beside what the same search makes of Gaussian features. Labels may be wrong where the model is sure of
    another class. Slices are pictures that share light, detail, colour or a unit and are wrong more often than their
    classes. Some pictures are put into the edges of others, to see which the answers follow. Pictures unlike all others
    are told. Test pictures are looked up among the others: near copies of them test
    nothing.

    Give the pictures the model was trained on, or such as it was; a thousand and more with labels. Without labels the
    model's own classes stand in for them.

    Args:
        model: from `likethat.split` or `likethat.load`; a network is split, as `likethat.split` would.
        images: a folder, arrays, tensors in [0, 1], a data set, or any `ImageSource`.
        n_shortcuts: directions looked at, at most.
        n_pictures: pictures shown of each state, pairs of copies.
        n_labels: doubtful labels shown, at most.
        seed: of the halves, the components and the null; the same seed, the same audit.
        test: the pictures that the model is tested on, whatever `images` may be; None for none.
        memory_budget: bytes for pictures held, or a text such as "2GB"; others are read again where they are shown.
        batch_size: images decoded at a time; no influence on the result.
        workers: threads that decode, or ``"ray"`` (docs/guide/workers.md); no influence on the result.
        watch: called with a `Progress`.

    Raises:
        NotLinearError: the model's head is not linear in its pooled features.
        InputError: no image can be used, or the model gives no class of several but labels of their own.

    Example:
        >>> import torch, likethat as lt
        >>> data = lt.digits(split="test")
        >>> lt.audit(lt.load("zoo:digits"), data, n_shortcuts=1)
        <Audit of zoo:digits on 450 pictures: 0 shortcuts, 0 doubtful labels>
    """
    clock = Clock()
    options = AuditOptions(n_shortcuts=n_shortcuts, n_pictures=n_pictures, n_labels=n_labels, seed=seed)
    about: dict[str, Any] = {"method": "audit", "options": options.options(), "seed": options.seed}
    reading: dict[str, Any] = {
        "memory_budget": memory_budget,
        "batch_size": batch_size,
        "workers": workers,
        "watch": watch,
        "with_sketches": True,
    }
    tests = None if test is None else as_source(test)  # before the work begins
    begun = begin(model, images, check=lambda split: split.require_classes("an audit"), **about, **reading)
    tested = None if tests is None else begin(begun.model, tests, **about, **reading)
    features, head = begun.features, begun.model.head
    shortcuts = find_shortcuts(
        features,
        head,
        n=options.n_shortcuts,
        n_pictures=options.n_pictures,
        seed=options.seed,
        fingerprint=begun.model.fingerprint,
        watch=watch,
    )
    logits = features.pooled @ head.weight.cpu().T + head.bias.cpu()
    probabilities = begun.model.probabilities(logits)
    n_doubtful, doubtful = find_doubtful(features, probabilities, n=options.n_labels)
    findings = _others(features, None if tested is None else tested.features, head, options)
    around, pictures = find_surroundings(
        begun.model, begun.source, features, n_pictures=options.n_pictures, seed=options.seed, watch=watch
    )
    doubts = weigh_doubts(features, probabilities, doubtful)
    findings += [one for one in (around, doubts) if one is not None]
    shown = {one.picture.image for one in doubtful}
    shown |= {one.image for each in shortcuts for one in each.pictures}
    shown |= {one.image for each in findings for one in each.pictures}
    for name, each in (("image", begun), ("test", tested)):
        if each is not None:
            _add_pictures(pictures, each, shown, of=name, watch=watch)
    return Audit(
        shortcuts=tuple(shortcuts),
        doubtful=tuple(doubtful),
        n_doubtful=n_doubtful,
        class_names=begun.model.class_names,
        images=pictures,
        provenance=provenance_of(
            begun.model,
            features,
            seconds=clock.seconds,
            measures={},
            notes=_notes(features, None if tested is None else tested.features, begun.model.class_names),
            **about,
        ),
        findings=tuple(findings),
    )


def _others(features: Features, tested: Features | None, head: Head, options: AuditOptions) -> list[Finding]:
    """Return what else looks wrong; errors are those on test pictures, where there are any."""
    n, seed = options.n_pictures, options.seed
    where = {"of": "image"} if tested is None else {"of": "test"}
    found = [find_slice(tested or features, head, n_pictures=n, seed=seed, **where)]
    found.append(find_unlike(features, tested, n_pictures=n, seed=seed))
    if tested is not None:
        found.append(find_copies(features, tested, n_pictures=n))
    return [one for one in found if one is not None]


def _add_pictures(pictures: ImageStore, begun: Begun, shown: set[str], *, of: str, watch: Watcher | None) -> None:
    """Add those pictures of a source that findings show."""
    features = begun.features
    rows = [row for row in range(len(features)) if picture_of(features, row, of=of).image in shown]
    for seen in look(begun.model, begun.source, features, rows, watch=watch):
        pictures.add(picture_of(features, seen.row, of=of).image, as_picture(seen.view))


def _notes(features: Features, tested: Features | None, class_names: Sequence[str]) -> list[str]:
    """Return what a reader should know of the pictures before trusting what was found, or not found, on them."""
    notes, n = [], len(features)
    if n < _ENOUGH:
        notes.append(f"With {n:,} pictures only a strong shortcut can be told from chance. Give {_ENOUGH:,} and more.")
    if not bool((features.labels >= 0).any()):
        notes.append(NO_LABELS)
    for what, given in (("pictures", features), ("test pictures", tested)):
        classes = set() if given is None else set(given.labels[given.labels >= 0].tolist())
        if len(classes) == 1:
            notes.append(
                f"All {what} with a label are of one class, {class_names[classes.pop()]!r}: what sets classes apart "
                "cannot be seen in them. Give pictures of several classes."
            )
        elif given is tested and not classes and tested is not None:
            notes.append(
                "The test pictures have no labels of the model's classes: copies among them are told, and no slice of "
                "low accuracy. Name their folders after the classes."
            )
    return notes
