"""Cut any trained classifier before its pooling, exactly, or say why not."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public, warn
from likethat._checks import check_choice
from likethat._options import check_names, check_text, shown
from likethat._session import in_own_session
from likethat.errors import InputError, ModelError, NonFiniteError, NotAClassifierError
from likethat.functional.links import Outputs
from likethat.models._builders import as_preprocess
from likethat.models._ends import ENDS, End, end_of_values, last_function
from likethat.models._facing import upright
from likethat.models._followed_search import find_followed
from likethat.models._frozen_search import find_frozen, is_freezable
from likethat.models._heads import headed
from likethat.models._libraries import (
    configured_name,
    configured_names,
    configured_part,
    configured_task,
    has_independent_labels,
    has_timm_api,
    other_inputs,
    usual_names,
)
from likethat.models._measured_search import find_measured
from likethat.models._mixed_search import FINER, find_mixed, finer_shares, shares_of
from likethat.models._probe import Probes, probings
from likethat.models._readers import AnyHead, LibraryReader, ReplayReader
from likethat.models._replay_search import find_replay
from likethat.models._search import Found, find_head, find_linear
from likethat.models._state import untouched, unwrap
from likethat.models.fingerprint import fingerprint, way_of
from likethat.models.preprocessing import Preprocess
from likethat.models.split_model import Head, SplitModel, note_on


@public
@in_own_session
def split(
    network: nn.Module,
    preprocess: Any = "default",
    layer: str | None = None,
    class_names: Sequence[str] | None = None,
    example: Float[Tensor, "batch channel height width"] | None = None,
    outputs: Outputs | None = None,
    *,
    head: Any = None,
) -> SplitModel:
    """Cut a classifier into feature map, pooled vector and head, checked on the network itself.

    Args:
        network: an image classifier, in any mode, on any device; it comes back as it was.
        preprocess: a `Preprocess`, a dictionary of its arguments, the library's transforms, or a function of a batch;
            None when the network takes images in [0, 1] as they are; "auto" to read its configuration. The default
            reads the configuration where the network carries one (timm, Hugging Face), and is None where not.
        layer: dotted name of the module to read the map from; None finds the one closest to the head. Any module whose
            output decides the logits will do, exactly for each image; the note says what an image then costs.
            ``"finer"`` is a finer map: the weighted mean of that closest split and of the last one of the next finer
            grid, as exact as they are. Weights and names, ``"0.8 layer3 + 0.2 layer2"``, are a mean of one's own.
        class_names: one name a class; None takes them from the network's configuration, else "class 0", ...
        example: images in [0, 1] of a size and channels that the network takes, such as those it will explain; the size
            matters where `preprocess` names none. None finds one out, and a fit then checks the split at its images'.
        outputs: ``"softmax"`` where one class of several is right, ``"sigmoid"`` where each is a label of its own; None
            reads it off how the network ends, then its configuration. Several bare logits are taken for a softmax's:
            what they were trained with cannot be seen. One logit is always a sigmoid's.
        head: where `network` gives one vector an image, the linear head on it: (coef, intercept), an ``nn.Linear``, or
            a fitted linear classifier of scikit-learn's, alone or behind a scaler in a pipeline.

    Returns:
        The split model, whose logits are the network's own.

    Raises:
        ModelError: no layer's map decides the logits, or the network does not run.
        NotAClassifierError: no (batch, class) logits come out of it.
        NonFiniteError: weights that are NaN or infinite.
        InputError: class names, layer, example, outputs or head that do not fit.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)]
        >>> model = split(nn.Sequential(*layers).eval(), example=torch.rand(1, 3, 32, 32))
        >>> model.layer, model.pooling, model.n_channels, model.grid
        ('1', 'mean', 8, (30, 30))
    """
    network = _checked_network(network)
    name = configured_name(network)
    if head is not None:
        network = headed(network, head)
        class_names = network.class_names if class_names is None else class_names
        outputs = network.outputs if outputs is None else outputs
    prepared = as_preprocess(preprocess, network)
    layer = _checked_layer(network, layer)
    if any(module.training for module in network.modules()):
        warn(
            "The network is in training mode; likethat explains it in evaluation mode and gives the mode back. Call "
            "network.eval() first to silence this.",
        )
    with untouched(network) as volatile, _said_of_other_inputs(network):
        cut = _cut(network, prepared, example, layer=layer)
    found, channels = cut.found, cut.channels
    if cut.head is not None and cut.head.activated:
        warn(
            f"The network returns {cut.head.activated} values; likethat explains the logits of `{cut.head.name}` "
            "before them.",
        )
    names, presumed = _class_names(network, class_names, found.output.logits.shape[1])
    model = SplitModel(
        network,
        found.reader,
        preprocess=_with_channels(prepared, channels),
        class_names=names,
        head=cut.copied,
        probed=found.output,
        name=name,
        in_channels=channels,
        size=cut.size,
        error=found.error,
        note=cut.note,
        fingerprint=fingerprint(network, layer=found.reader.layer, pooling=way_of(found.reader)),
        volatile=frozenset(volatile),
        outputs=_outputs(network, cut, outputs),
    )
    model.presumed = presumed
    return model


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cut:
    """What was found at one size of probe images."""

    found: Found
    head: AnyHead | None
    copied: Head | None
    note: str
    channels: int
    size: tuple[int, int]

    @property
    def end(self) -> End:
        """How the network makes what it returns of its logits."""
        return self.head.end if self.head is not None else getattr(self.found.reader, "end", ENDS[0])

    @property
    def is_located(self) -> bool:
        """Whether there is nothing better to be had at another size."""
        if getattr(self.found.reader, "leaves_cells_out", False):
            return False
        return self.copied is None or self.has_cells

    @property
    def has_cells(self) -> bool:
        """Whether the map has more than one."""
        return self.found.output.feature_map[0, 0].numel() > 1

    @property
    def is_blind(self) -> bool:
        """Whether the head reads nothing of the map: tokens alone, which are not followed."""
        return not self.found.reader.spatial_weight(self.found.output.feature_map.shape[1]).any()


def _cut(network: nn.Module, preprocess: Preprocess, example: Tensor | None, *, layer: str | None) -> _Cut:
    """Return the split at the first size where the map has more than one cell; else at the first size that runs.

    A network built for 28 pixels also runs at 32, where a fixed pooling drops a rim: that split is exact, and says less
    than the split at 28.
    """
    first: _Cut | None = None
    for probes, channels in probings(network, preprocess, example):
        try:
            cut = _find_as_asked(network, probes, channels, layer=layer)
        except ModelError:
            if first is None:
                raise
            continue
        if cut.is_located and (first is None or cut.copied is not None):
            return cut
        first = first or cut
    assert first is not None  # probings raises when it yields nothing
    return first


def _find_as_asked(network: nn.Module, probes: Probes, channels: int, *, layer: str | None) -> _Cut:
    """Return the cut at a layer, or the weighted mean of the cuts at several."""
    shares = None if layer is None else shares_of(layer)
    if layer is None or not (shares or _is_finer(network, layer)):
        return _find(network, probes, channels, layer=layer)
    cuts: dict[str | None, _Cut] = {}

    def find(name: str | None) -> Found:
        cuts[name] = cuts.get(name) or _contributing(network, probes, channels, layer=name)
        return cuts[name].found

    if not shares:
        first = find(None)
        cuts[first.reader.layer] = cuts[None]
        shares = finer_shares(network, probes, first, find)
        layer = " + ".join(f"{share.weight:g} {share.layer}" for share in shares)
    parts = [(share, find(share.layer)) for share in shares]
    cut = cuts[shares[0].layer]
    assert cut.copied is not None  # of a cut that contributes
    found = find_mixed(network, probes, layer, parts, cut.copied)
    return _linear_cut(found, cut.head, cut.copied, probes, channels)


def _contributing(network: nn.Module, probes: Probes, channels: int, *, layer: str | None) -> _Cut:
    """Return the cut at a layer, which has contributions.

    Raises:
        ModelError: it has none.
    """
    cut = _find(network, probes, channels, layer=None if layer == LibraryReader.layer else layer)
    if cut.copied is None:
        raise ModelError(f"what follows `{cut.found.reader.layer}` gives no contributions: {cut.note}")
    return cut


def _is_finer(network: nn.Module, layer: str) -> bool:
    """Whether the finer map is asked for, and not a module of that name."""
    return layer == FINER and layer not in dict(network.named_modules())


def _find(network: nn.Module, probes: Probes, channels: int, *, layer: str | None) -> _Cut:
    """Return the first cut that says where: read off the head, measured; else what says less, else a replay."""
    head, before = find_head(network, probes)
    cut, why = None, "no linear layer gives its logits"
    if head is None:
        _check_has_head(network)
    else:
        found, why = find_linear(network, probes, head, before, layer=layer)
        if found is not None:
            copied = head.copy()
            cut = _located_cut(network, found, head, copied, probes, channels)
    if cut is None or not cut.is_located:
        end = head.end if head is not None else _end_of(network, probes)
        cut = _measured_cut(network, probes, channels, end, head, layer=layer, otherwise=cut)
    if cut is not None and (layer is not None or (cut.has_cells and not cut.is_blind)):
        return cut
    return _replayed_cut(network, probes, channels, head, layer=layer, why=why, otherwise=cut)


def _located_cut(
    network: nn.Module, found: Found, head: AnyHead | None, copied: Head, probes: Probes, channels: int
) -> _Cut:
    """Return the cut in which tokens that the head reads are followed to the patches, or the note says why not."""
    followed, why = find_followed(network, probes, found, copied)
    note = f"What patches give the {found.reader.remainder_name} is not followed: {why}." if why else ""
    return _linear_cut(followed or found, head, copied, probes, channels, note=note)


def _measured_cut(
    network: nn.Module,
    probes: Probes,
    channels: int,
    end: End,
    known: AnyHead | None,
    *,
    layer: str | None,
    otherwise: _Cut | None,
) -> _Cut | None:
    """Return the cut whose weights are measured, where it says more than the other one."""
    measured = find_measured(network, probes, end, layer=layer, head=known, is_located=otherwise is not None)
    if measured is None:
        return otherwise
    found, head = measured
    copied = head.copy() if head is not None else found.reader.head
    cut = _located_cut(network, found, head, copied, probes, channels)
    return cut if cut.has_cells or otherwise is None else otherwise


def _linear_cut(
    found: Found, head: AnyHead | None, copied: Head, probes: Probes, channels: int, *, note: str = ""
) -> _Cut:
    own, moved, found = getattr(found.reader, "note", note), found.facing.note, upright(found, probes.size)
    shape = found.output.feature_map.shape
    if shape[2:] == (1, 1) and probes.astray:
        moved = f"Cells of `{probes.astray[0]}` follow no one place of the picture each."
    note = " ".join(filter(None, [probes.taken, own, note_on((shape[2], shape[3])), moved]))
    return _Cut(found=found, head=head, copied=copied, note=note, channels=channels, size=probes.size)


def _replayed_cut(
    network: nn.Module,
    probes: Probes,
    channels: int,
    head: AnyHead | None,
    *,
    layer: str | None,
    why: str,
    otherwise: _Cut | None,
) -> _Cut:
    """Return the frozen run from a map on; else the cut of a single cell, where there is one; else the replay."""
    whole, head = head, head if head is not None and head.activated else None
    end = ENDS[0] if head is not None else _end_of(network, probes)
    # Late patches beside tokens hold little of what the tokens took from patches before: of tokens, before they come.
    has_cells = otherwise is not None and otherwise.has_cells
    replayed, unfrozen = None, ""

    def is_worth(place: ReplayReader) -> bool | None:  # a replay alone says less than an exact cut
        return otherwise is None or is_freezable(network, probes, whole, place)

    for is_bare in (True,) if has_cells else (False,) if layer is not None else (True, False):
        place = find_replay(network, probes, layer=layer, activated=head, end=end, is_bare=is_bare, is_worth=is_worth)
        if place is None or (replayed is not None and place.reader.layer == replayed.reader.layer):
            continue
        replayed = place
        frozen, unfrozen = find_frozen(network, probes, whole, place, is_named=layer is not None)
        if frozen is not None:
            return _linear_cut(frozen, whole, frozen.reader.weights, probes, channels)
    why = f"{why}, and {unfrozen}" if unfrozen else why
    if otherwise is not None:
        return otherwise
    if replayed is not None and replayed.facing.is_scattered:
        raise ModelError(
            f"`network` ({configured_name(network)}) cannot be split: {why}, and cells of `{probes.astray[0]}` follow "
            "no one place of the picture each. It can only be asked, by likethat.BlackBox(function)."
        )
    if replayed is None:
        where = f"of `{layer}` " if layer is not None else ""
        raise ModelError(
            f"`network` ({configured_name(network)}) cannot be split: {why}, and no map {where}decides its logits. "
            "Name a convolution or block whose output is (batch, channel, height, width): split(network, layer=...)."
        )
    note = f"There are no contributions: {why}, so the network is replayed from `{replayed.reader.layer}`."
    note = " ".join(filter(None, [probes.taken, note, replayed.facing.note]))
    return _Cut(
        found=upright(replayed, probes.size), head=head, copied=None, note=note, channels=channels, size=probes.size
    )


def _end_of(network: nn.Module, probes: Probes) -> End:
    """Return how a network ends whose head is not known."""
    return end_of_values([probes.first_logits, probes.second_logits], last_function(network, probes.first))


def _outputs(network: Any, cut: _Cut, asked: Outputs | None) -> Outputs:
    """Return what the logits stand for: seen at the network's end, configured, or said by the user.

    Raises:
        InputError: the user says one thing, and the network is seen to do another.
        NotAClassifierError: a softmax over one class, which is 1 whatever the picture.
    """
    if asked is not None:
        check_choice(asked, name="outputs", choices=("softmax", "sigmoid"))
    seen = cut.end.outputs
    if seen is None and asked is None and configured_task(network) == "regression":
        raise NotAClassifierError(
            "`network` must be a classifier, got one whose configuration says regression: its numbers are no logits. "
            "If they are, say what of: split(network, outputs='softmax' or 'sigmoid')."
        )
    if cut.found.output.logits.shape[1] == 1:
        if seen == "softmax":
            raise NotAClassifierError(
                "`network` must tell images apart, and it ends in a softmax over one class, which says 1 for every "
                "image. Let it end in a sigmoid, or return its logit."
            )
        seen = "sigmoid"
    if seen is None:
        return asked or ("sigmoid" if has_independent_labels(network) else "softmax")
    if asked is not None and asked != seen:
        what = cut.end.name or "one logit"
        raise InputError(f"`outputs` must be {seen!r} as the network ends in {what}, got {shown(asked)}. Leave it out.")
    return seen


_NOT_EAGER = (
    "`network` must be a module in eager mode, got {}. Pass the module it was made from; what is left of it without "
    "its layers can only be asked, by likethat.BlackBox(function)."
)


@contextmanager
def _said_of_other_inputs(network: nn.Module) -> Iterator[None]:
    """Where a network cannot be split, say so if it never was one for images."""
    try:
        yield
    except ModelError as error:
        other = other_inputs(network)
        if other is None:
            raise
        if "linear" in other:  # it may be for images all the same, flattened by its own code
            raise type(error)(f"{error} If it takes rows of a table, ask it by likethat.BlackBox(network).") from error
        raise ModelError(
            f"`network` must take images (batch, channel, height, width), got {type(network).__name__}, which begins "
            f"with {other}. What is no image can only be asked, by likethat.BlackBox(function): likethat.Exemplars and "
            "likethat.FreeMCG take tables and texts too."
        ) from error


def _checked_network(network: Any) -> nn.Module:
    if isinstance(network, torch.jit.ScriptFunction):
        raise ModelError(_NOT_EAGER.format("TorchScript"))
    if hasattr(network, "graph_signature") and not isinstance(network, nn.Module):
        raise ModelError(_NOT_EAGER.format("an exported program"))
    if not isinstance(network, nn.Module):
        hint = " Pass an instance of it." if isinstance(network, type) else " For a bare function use lt.BlackBox."
        raise InputError(f"`network` must be a torch.nn.Module, got {shown(network)}.{hint}")
    network = unwrap(network)
    if isinstance(network, torch.jit.ScriptModule):
        raise ModelError(_NOT_EAGER.format("TorchScript"))
    if isinstance(network, torch.fx.GraphModule) and not _calls_layers(network):
        raise ModelError(_NOT_EAGER.format("a graph without layers, as torch.export makes"))
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if value.is_meta:
            raise ModelError(f"`network` must hold its weights, got `{name}` on the meta device. Load them first.")
        bad = ~torch.isfinite(value) if isinstance(value, nn.Parameter) else torch.isnan(value)  # masks hold -inf
        if value.is_floating_point() and bool(bad.any()):
            raise NonFiniteError(f"`network` must have finite weights, got NaN or infinity in `{name}`. Load it again.")
    return network


def _calls_layers(graph: torch.fx.GraphModule) -> bool:
    """Return whether a graph calls modules with weights; an exported one calls functions alone."""
    called = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    return any(next(graph.get_submodule(name).parameters(), None) is not None for name in called)


def _checked_layer(network: nn.Module, layer: str | None) -> str | None:
    """Return the layer as it is looked for; timm's own features are what is found without a name.

    Raises:
        InputError: it names no module of the network.
    """
    if layer is None:
        return None
    check_text(layer, name="layer")
    names = [name for name, _ in network.named_modules() if name]
    own = {FINER, LibraryReader.layer} if has_timm_api(network) else {FINER}
    for name in [share.layer for share in shares_of(layer) or []] or [layer]:
        if name not in names and name not in own - ({FINER} if name != layer else set()):
            close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.3) or names[-3:]
            raise InputError(
                f"`layer` must name a module of the network, got {name!r}. Close to it: "
                f"{', '.join(repr(name) for name in close)}."
            )
    return None if layer == LibraryReader.layer and layer not in names else layer


def _check_has_head(network: nn.Module) -> None:
    for name in ("fc", "classifier", "head", "heads"):
        if isinstance(getattr(network, name, None), nn.Identity):
            raise NotAClassifierError(
                f"`network` must be a classifier, got one whose `{name}` is nn.Identity. Put its head back."
            )


def _class_names(network: Any, class_names: Sequence[str] | None, n_classes: int) -> tuple[tuple[str, ...], str]:
    """Return the class names, and a sentence where they are presumed."""
    if class_names is not None:
        names = check_names(class_names)
        if len(names) != n_classes:
            raise InputError(
                f"`class_names` must hold {n_classes} names as the network has {n_classes} classes, got {len(names)}."
            )
        return names, ""
    known = configured_names(configured_part(network), n_classes)
    if known is not None:
        return known, ""
    presumed = usual_names(network, n_classes)
    if presumed is not None:
        return presumed, (
            f"The class names are presumed: the network has {n_classes:,} classes, as the usual weights of its "
            f"architecture, which know ImageNet's ({presumed[0]!r}, {presumed[1]!r}, …). If they are others, give "
            "class_names."
        )
    return tuple(f"class {index}" for index in range(n_classes)), ""


def _with_channels(preprocess: Preprocess, channels: int) -> Preprocess:
    return preprocess if preprocess.channels is not None else replace(preprocess, channels=channels)
