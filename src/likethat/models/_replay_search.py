"""Find a map that decides the logits when no head is linear in a pooled one: the network is then replayed from it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from likethat.errors import LikethatError
from likethat.models._ends import End
from likethat.models._facing import SCATTERED
from likethat.models._felt import noting
from likethat.models._probe import Probes, logits_of
from likethat.models._readers import AnyHead, ReplayReader
from likethat.models._search import Found, facing_of
from likethat.models._trace import Call, record, relative_error
from likethat.models.readings import Layout, layouts, seems_channels_last

MOST_TRIED = 3  # places; each costs five passes with that of strips, and a split at most 25

_MOST_UNWORTHY = 6  # places that are asked of in vain; each costs one pass
_Deciding = dict[tuple[nn.Module, int], bool]  # calls, and whether the logits depend on the image through each alone


def find_replay(
    network: nn.Module,
    probes: Probes,
    *,
    layer: str | None,
    activated: AnyHead | None,
    end: End,
    is_bare: bool = False,
    is_worth: Callable[[ReplayReader], bool | None] = lambda _: True,
) -> Found | None:
    """Return the replay closest to the logits whose map decides them, or None.

    A map that decides the logits alone comes first; then one that does so together with the rest of the network; then
    one whose cells follow no places.

    Args:
        network: in evaluation mode.
        probes: two batches.
        layer: dotted name of the module that the map is read from, or None.
        activated: the head, where its logits are not what the network returns.
        end: how the network ends.
        is_bare: whether the map must hold patches alone, without tokens of another kind beside them.
        is_worth: asked of each place before it is checked, which costs more; None where none before it is.
    """
    calls, deciding = _seen(network, probes)
    with_images: Found | None = None
    scattered: Found | None = None
    places = [place for place in _places(calls, probes, layer) if deciding is None or place[0].where in deciding]
    places = [place for place in places if not (is_bare and place[1].prefix)]
    if deciding is not None:
        places.sort(key=lambda place: not deciding[place[0].where])  # stable: still the closest to the logits first
    tried, unworthy, astray = 0, 0, set[tuple[str, int]]()  # of maps whose cells follow no places: kind and number
    for call, layout in places:
        if tried == MOST_TRIED or (layout.kind, _n_cells(call.shape, layout)) in astray:
            continue
        if with_images is not None and deciding is not None and not deciding[call.where]:
            break  # as the steps show, this map needs the images beside it too, and one such is known
        reader = ReplayReader(network, layer=(call.name, call.module, call.index), layout=layout)
        reader.input_shape = tuple(probes.first.shape[1:])
        reader.activated, reader.end = activated, end
        worth = is_worth(reader)
        if not worth:
            unworthy += 1
            if worth is None or unworthy == _MOST_UNWORTHY:
                break
            continue
        checked = _check(reader, probes)
        if checked is not None:
            facing = facing_of(reader, checked.output, probes, is_of_tokens=layout.kind == "tokens")
            if facing is None:
                scattered = scattered or replace(checked, facing=SCATTERED)
                astray.add((layout.kind, _n_cells(call.shape, layout)))
                continue
            checked = replace(checked, facing=facing)
        tried += 1
        # Tokens beside the patches are taken from the images in a replay, but they are of the same place.
        decides_alone = layout.prefix > 0 and deciding is not None and deciding[call.where]
        if checked is not None and (decides_alone or not reader.needs_images):
            return checked
        with_images = with_images or checked
    return with_images or scattered


def deciding_places(network: nn.Module, probes: Probes) -> list[tuple[str, int]]:
    """Return the modules whose map alone decides the logits and its number of cells, the closest to the logits first.

    Args:
        network: in evaluation mode.
        probes: the first batch is run.
    """
    calls, deciding = _seen(network, probes)
    return [
        (call.name, _n_cells(call.shape, layout))
        for call, layout in _places(calls, probes, None)
        if deciding is not None and deciding.get(call.where, False)
    ]


def _seen(network: nn.Module, probes: Probes) -> tuple[list[Call], _Deciding | None]:
    """Return the calls of a pass, and which of them the logits depend on."""
    if not probes.seen:
        probes.seen.append((record(network, probes.first, lambda _: False)[0], _deciding(network, probes)))
    found: tuple[list[Call], _Deciding | None] = probes.seen[0]
    return found


def _n_cells(shape: tuple[int, ...], layout: Layout) -> int:
    if layout.kind == "tokens":
        return shape[1] - layout.prefix
    return shape[2] * shape[3] if layout.kind == "NCHW" else shape[1] * shape[2]


def _deciding(network: nn.Module, probes: Probes) -> _Deciding | None:
    """Return the calls that the logits depend on, and whether on them alone; None where gradients do not tell."""
    with torch.enable_grad(), noting(network, probes.first, ()) as noted:
        inputs = probes.first.detach().clone().requires_grad_()
        logits = logits_of(network(inputs), len(inputs))
        if logits.grad_fn is None:
            return None
        begin = inputs.expand_as(inputs).grad_fn
        assert begin is not None
        source = begin.next_functions[0][0]
        found = {}
        for place, value, _ in noted:
            if place.side == "output" and value.grad_fn is not None:
                seen = _reached(logits.grad_fn, without=value.grad_fn)
                if value.grad_fn in seen:
                    found[place.module, place.index] = source not in seen
    return found


def _reached(node: Any, *, without: Any) -> set[Any]:
    """Return the steps that a result was computed from, not going on behind one of them."""
    seen, waiting = {node}, [node]
    while waiting:
        one = waiting.pop()
        if one is without:
            continue
        new = {step for step, _ in one.next_functions if step is not None} - seen
        seen |= new
        waiting += new
    return seen


def _places(calls: list[Call], probes: Probes, layer: str | None) -> Iterator[tuple[Call, Layout]]:
    n_tokens = {call.shape[1] for call in calls if len(call.shape) == 3}
    for call in reversed(calls):
        shape = call.shape
        # Weights of tokens on tokens, or of one token on tokens, are no image.
        is_attention = len(shape) == 4 and shape[3] in n_tokens and shape[2] in (1, shape[3])
        if is_attention or (layer is not None and call.name != layer):
            continue
        for layout in layouts(shape, len(probes.first), probes.size):
            if layout.kind != "tokens" and (layout.kind == "NHWC") != seems_channels_last(shape):
                continue
            if _n_cells(shape, layout) > 1 or layer is not None:
                yield call, layout


_NOT_READ = (LikethatError, RuntimeError, AssertionError, KeyError, IndexError, TypeError, ValueError)


def _check(reader: ReplayReader, probes: Probes) -> Found | None:
    """Replay the second batch's map, and that map with noise: it must give, and must move, the logits."""
    try:
        output = reader.read(probes.second)
        same = reader.replay(output.feature_map, probes.second)
        noisy = output.feature_map[:1] + _noise(output.feature_map[:1])  # of one image: it costs two passes
        moved = reader.replay(noisy, probes.second[:1])
        blind = reader.replay(noisy, _others(probes)[:1])
    except _NOT_READ:
        return None  # this module's output cannot be replaced; the next one may
    own = (reader.end if reader.activated is None else reader.activated.end).apply(output.logits)
    error = max(relative_error(same, output.logits), relative_error(own, probes.second_logits))
    if error > probes.head_tolerance or relative_error(moved, output.logits[:1]) <= 10 * probes.tolerance:
        return None
    reader.needs_images = relative_error(blind, moved) > probes.head_tolerance
    return Found(reader=reader, output=output, error=error)


def _others(probes: Probes) -> Tensor:
    """Return inputs other than the second batch, as many."""
    return probes.second.flip(0) + 0.25 * probes.second.abs().mean()


def _noise(feature_map: Tensor) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    noise = torch.randn(feature_map.shape, generator=rng, dtype=torch.float32).to(feature_map.device)
    return noise * feature_map.std().clamp_min(1e-6)
