"""Find the maps, or the vector, from which the logits are affine: felt in one pass, checked on images not seen."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from likethat._double import double
from likethat.models._ends import End
from likethat.models._facing import facings
from likethat.models._felt import Felt, Place, combined, feel
from likethat.models._measured import MeasuredHead, MeasuredReader, Part, before_end, measure_head, measure_part
from likethat.models._probe import Probes
from likethat.models._readers import AnyHead, HookReader
from likethat.models._search import VARIATION, Found, facing_of, find_linear
from likethat.models._trace import Call, at_call, record, relative_error, tensor_of, vector_of, with_tensor
from likethat.models.readings import Layout, layouts, seems_channels_last
from likethat.models.split_model import Head

MOST_PARTS = 6  # networks, or passes of one, whose mean is taken; each costs a pass forward and one back
MOST_VECTORS = 2  # vectors that are tried as the head's input; each costs some four passes, and a split at most 25


_CLEARLY = 10  # times the tolerance: a coarse look, which only what is no line at all must fail

_LARGEST = 1e4  # value of a map: fresh weights leave maps of 1e-8, where every activation is a line to 1e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class _Candidate:
    """A map from which the logits may be affine."""

    felt: Felt
    layout: Layout
    cells: int
    channels: int
    located: bool

    @property
    def counts(self) -> bool:
        """Whether cells enter the logits, or tokens before them, which can be followed to the cells."""
        return self.located or (self.cells > 1 and self.layout.prefix > 0)


def find_measured(
    network: nn.Module,
    probes: Probes,
    end: End,
    *,
    layer: str | None,
    head: AnyHead | None = None,
    is_located: bool = False,
) -> tuple[Found, MeasuredHead | None] | None:
    """Return the best split whose weights are measured, and the head where that is a vector's; None for no split.

    A head that is known has been tried: no map pools to what enters it. Where nothing but places is looked for, a map
    of one cell is not measured: its thousand derivatives may cost more than all the rest.

    Maps of more than one cell come first: one that explains the logits alone, one behind steps that are affine given
    the pooled vector, several together. Then tokens that are no part of the map, and maps of one cell.
    """
    found, tolerance = before_end(end), 10 * probes.tolerance
    if not _tells_apart(probes):
        return None
    felt = [one for one in feel(network, probes.first, found) if one.is_affine(tolerance)]
    candidates = list(_candidates(felt, probes, layer))
    alone = [one for one in candidates if _explains(one.felt.left, one, tolerance)]
    is_measured = not is_located or any(one.located for one in alone)
    best = _checked(network, probes, end, _measured_alone(network, probes, end, alone)) if is_measured else None
    if best is not None and _is_located(best):
        return best, None
    tried = [] if head is None else _beside(network, probes, head)
    behind = _behind_vectors(network, probes, end, felt, tried, layer=layer, tolerance=tolerance)
    if behind is not None and _is_located(behind[0]):
        return behind
    if not alone and any(one.counts for one in candidates):
        joined = _checked(network, probes, end, _together(network, probes, end, candidates, layer=layer))
        if joined is not None:
            return joined, None
    return (best, None) if best is not None else behind


def _tells_apart(probes: Probes) -> bool:
    """Whether the logits differ between images by more than rounding: else any map explains them."""
    logits = torch.cat([probes.first_logits, probes.second_logits]).float()
    spread = (logits - logits.mean(0)).abs().max()
    return bool(spread > max(VARIATION, 3 * probes.tolerance) * logits.abs().max())


def _is_located(found: Found) -> bool:
    weight = found.reader.spatial_weight(found.output.feature_map.shape[1])
    return found.output.feature_map[0, 0].numel() > 1 and bool(weight.any())


def _candidates(felt: Sequence[Felt], probes: Probes, layer: str | None) -> Iterator[_Candidate]:
    """Yield the maps among what was felt, the closest to the logits first."""
    for one in reversed(felt):
        if one.place.side == "input" or (layer is not None and one.place.name != layer):
            continue
        read = [
            _read(one, layout, probes) for layout in layouts(tuple(one.value.shape), len(probes.first), probes.size)
        ]
        if read:
            yield max(read, key=lambda pair: pair[0])[1]  # the first of equals


def _read(felt: Felt, layout: Layout, probes: Probes) -> tuple[int, _Candidate]:
    """Return a map in one layout, and how likely the layout is: cells that count alike, then the order of the axes."""
    split = layout.split(felt.gradient[:1], probes.size)
    assert split is not None
    cells = split[0][0].flatten(1).float()
    located = bool(cells.abs().max() > 1e-6 * felt.gradient.abs().max())  # more than what rounding leaves
    alike = relative_error(cells.mean(1, keepdim=True).expand_as(cells), cells) <= 10 * probes.tolerance
    usual = layout.kind != ("NCHW" if seems_channels_last(tuple(felt.value.shape)) else "NHWC")
    candidate = _Candidate(
        felt=felt, layout=layout, cells=cells.shape[1], channels=cells.shape[0], located=located and cells.shape[1] > 1
    )
    return 2 * alike + usual, candidate


def _explains(left: Tensor, one: _Candidate, tolerance: float) -> bool:
    """Whether what a map leaves of a combination of the logits is the same for every image."""
    moved = (double(one.felt.gradient) * double(one.felt.value)).flatten(1).sum(1)
    whole = left + moved
    spread, rounding = whole.max() - whole.min(), whole.abs().max() * 1e-5  # float32 logits
    return bool(left.max() - left.min() <= tolerance * spread + rounding)


def _measured_alone(network: nn.Module, probes: Probes, end: End, alone: Sequence[_Candidate]) -> list[Part] | None:
    """Measure the closest map with cells that count, or the finer one of as many channels that it is made of."""
    if not alone:
        return None
    best = next((one for one in alone if one.located), None) or max(alone, key=lambda one: one.cells > 1)
    for one in alone[alone.index(best) + 1 :]:
        if one.located and one.channels == best.channels and one.cells > best.cells:
            best = one
    if not _foretells(best.felt, network, probes, end):
        return None
    part = measure_part(network, probes.first[:1], before_end(end), best.felt, best.layout)
    return None if part is None else [part]


def _beside(network: nn.Module, probes: Probes, head: AnyHead) -> list[Tensor]:
    """Return what enters the head, and what it gives where that is one vector an image: neither says anything new."""
    captured = probes.at(network, head)
    given = None if captured.output is None else vector_of(captured.output)
    return [head.vector(captured.given, captured.output), *([] if given is None else [given])]


def _foretells(one: Felt, network: nn.Module, probes: Probes, end: End) -> bool:
    """Whether the logits follow the gradient when half of the channels are left out and the others are made larger.

    It costs a pass, where measuring a map takes the derivatives of every class, for an answer that is then checked on
    other images: what is a line on a few images only, such as a gate that all of them leave open, ends here.
    """
    if one.place.side == "input":
        return True
    shape = [1, *([1] * (one.value.ndim - 1))]
    axis = -1 if one.value.ndim == 3 or seems_channels_last(tuple(one.value.shape)) else 1
    shape[axis] = one.value.shape[axis]
    factors = torch.rand(shape, generator=torch.Generator().manual_seed(6), dtype=torch.float32)
    changed = one.value * torch.where(factors < 0.5, 0.0, 4 * factors - 1.0).to(one.value)  # from 1 to 3
    if _is_wide(probes, end):
        changed = changed * (_LARGEST / float(changed.abs().max().clamp_min(1e-30)))
    with at_call(one.place.module, one.place.index, lambda _, __, output: with_tensor(output, changed)):
        result = network(probes.first)
    moved = double(combined(before_end(end)(result, len(probes.first))))
    foretold = one.left + (double(one.gradient) * double(changed)).flatten(1).sum(1)
    return relative_error(moved, foretold) <= _CLEARLY * probes.head_tolerance


def _behind_vectors(
    network: nn.Module,
    probes: Probes,
    end: End,
    felt: Sequence[Felt],
    tried: Sequence[Tensor],
    *,
    layer: str | None,
    tolerance: float,
) -> tuple[Found, MeasuredHead] | None:
    """Find a map that pools to a vector from which the logits are affine, and that was not tried before."""
    seen = list(tried)
    single = None
    for one in felt:
        vector = vector_of(one.value)
        known = vector is None or any(torch.equal(vector, other) for other in seen)
        if vector is None or known or not _leaves_nothing(one, tolerance):
            continue
        seen.append(vector)
        if len(seen) > MOST_VECTORS:
            break
        if not _foretells(one, network, probes, end):
            continue
        head = measure_head(network, probes.first, end, one)
        before = _vectors_until(network, probes, one.place)
        found, _ = find_linear(network, probes, head, before, layer=layer)
        if found is not None and not _holds_elsewhere(found.reader, head.copy(), [found.reader.place], probes):
            continue
        if found is not None and found.output.feature_map[0, 0].numel() > 1:
            return found, head
        single = single or (None if found is None else (found, head))
    return single


def _leaves_nothing(felt: Felt, tolerance: float) -> bool:
    cells = felt.value[0].numel()
    one = _Candidate(felt=felt, layout=Layout(kind="NCHW"), cells=cells, channels=cells, located=False)
    return _explains(felt.left, one, tolerance)


def _vectors_until(network: nn.Module, probes: Probes, place: Place) -> list[Call]:
    """Return the calls that took or gave one vector an image, until a place."""
    batch = len(probes.first)
    calls, _ = record(network, probes.first, lambda shape: shape[0] == batch and sum(n > 1 for n in shape[1:]) <= 1)
    ends = [number for number, call in enumerate(calls) if call.module is place.module and call.index == place.index]
    return calls[: ends[0] + (place.side == "output")] if ends else []


def _together(
    network: nn.Module, probes: Probes, end: End, candidates: list[_Candidate], *, layer: str | None
) -> list[Part] | None:
    """Take maps one by one, the closest to the logits first, each time without what lies before those taken."""
    parts: list[Part] = []
    held: list[Place] = []
    found, tolerance = before_end(end), 10 * probes.tolerance
    while len(parts) < MOST_PARTS:
        one = next((one for one in candidates if one.counts), None)
        part = None if one is None else measure_part(network, probes.first[:1], found, one.felt, one.layout)
        if one is None or part is None:
            return None
        parts.append(part)
        held.append(one.felt.place)
        if _explain_together(MeasuredReader(network, parts, end=end), probes):
            return parts
        felt = [one for one in feel(network, probes.first, found, held=held) if one.is_affine(tolerance)]
        candidates = list(_candidates(felt, probes, layer))
    return None


def _explain_together(reader: MeasuredReader, probes: Probes) -> bool:
    """Whether what the maps leave of the logits is the same for every image."""
    output = reader.read(probes.first)
    left = double(output.logits) - double(output.pooled) @ double(reader.head.weight).T
    spread, largest = (output.logits - output.logits.mean(0)).abs().max(), output.logits.abs().max()
    return bool((left - left.mean(0)).abs().max() <= 10 * probes.tolerance * spread + 1e-5 * largest)


def _checked(network: nn.Module, probes: Probes, end: End, parts: list[Part] | None) -> Found | None:
    """Return the split if it reproduces the logits of the second batch, and those of other maps, else None."""
    if parts is None:
        return None
    reader = MeasuredReader(network, parts, end=end)
    reader.settle(probes.first)
    output, error = reader.error(probes.second)
    error = max(error, relative_error(end.apply(output.logits), probes.second_logits))
    if error > probes.head_tolerance:
        return None
    if not _holds_elsewhere(reader, reader.head, [part.place for part in parts], probes):
        return None
    if len(parts) == 1:
        is_of_tokens = parts[0].layout.kind == "tokens" and parts[0].located
        facing = facing_of(reader, output, probes, is_of_tokens=is_of_tokens)
        return None if facing is None else Found(reader=reader, output=output, error=error, facing=facing)
    of_tokens = [part.layout.kind == "tokens" and part.located for part in parts]
    found = facings(lambda inputs: reader.read_parts(inputs)[0], probes.first, probes.second, of_tokens=of_tokens)
    upright = [replace(part, facing=facing) for part, facing in zip(parts, found, strict=True) if facing is not None]
    if len(upright) < len(parts):
        probes.astray.append(reader.layer)
        return None
    reader.parts = tuple(upright)
    return Found(reader=reader, output=reader.read(probes.second), error=error)


def _holds_elsewhere(reader: MeasuredReader | HookReader, head: Head, places: Sequence[Place], probes: Probes) -> bool:
    """Whether the logits stay linear where the channels of the maps are scaled, each by a number of its own.

    A few images may leave every gate behind a map as it is, and small numbers make any smooth step look like a line.
    """
    highest = _LARGEST if _is_wide(probes, reader.end) else None
    for largest, inputs in ((None, probes.first), (highest, probes.second)):
        with _scaled_channels(places, largest=largest):
            output, error = reader.error(inputs)
        again = nn.functional.linear(output.pooled, head.weight, head.bias)
        if max(error, relative_error(again, output.logits)) > 3 * probes.head_tolerance:  # of larger numbers
            return False
    return True


def _is_wide(probes: Probes, end: End) -> bool:
    """Whether large numbers come through: half precision ends before, and probabilities saturate."""
    return end.name == "" and probes.first.dtype in (torch.float32, torch.float64)


@contextmanager
def _scaled_channels(places: Sequence[Place], *, largest: float | None) -> Iterator[None]:
    """Scale every channel of some maps by a number of its own, or leave it out, for a while; all to a largest value."""
    counts = dict.fromkeys((place.module for place in places), 0)
    wanted = {(place.module, place.index) for place in places}
    rng, mine = torch.Generator().manual_seed(6), threading.get_ident()

    def scale(module: nn.Module, _: Any, output: Any) -> Any:
        if threading.get_ident() != mine:
            return output
        index = counts[module]
        counts[module] = index + 1
        value = tensor_of(output)
        if (module, index) not in wanted or value is None:
            return output
        is_last = value.ndim == 3 or seems_channels_last(tuple(value.shape))
        shape = [len(value), *([1] * (value.ndim - 1))]
        shape[-1 if is_last else 1] = value.shape[-1 if is_last else 1]
        factors = torch.rand(shape, generator=rng, dtype=torch.float32)
        factors = torch.where(factors < 0.5, 0.0, 4 * factors - 1.0)  # half of them none, the others from 1 to 3
        size = 1.0 if largest is None else largest / float(value.abs().max().clamp_min(1e-30))
        return with_tensor(output, value * (size * factors).to(value))

    handles = [module.register_forward_hook(scale) for module in counts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
