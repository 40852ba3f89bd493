"""Find the head and a reading of a feature map that reproduces what enters it, on images not seen before."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from likethat.errors import ModelError
from likethat.models._ends import ENDS, fit_end
from likethat.models._facing import SCATTERED, UPRIGHT, Facing, facings, upright
from likethat.models._libraries import has_timm_api, timm_pass
from likethat.models._probe import Probes, logits_of
from likethat.models._readers import AnyHead, HeadCall, HookReader, LibraryReader
from likethat.models._trace import Call, record, relative_error, vector_of
from likethat.models.readings import POOLS, Reading, Step, is_linear_map, layouts, readings, step_of
from likethat.models.split_model import SplitOutput

VARIATION = 1e-4  # images must move the pooled vector this much (and 3 tolerances), or agreement proves nothing
MOST_TRIED = 8  # readings that hold on two images; of those few fail on three others, and each costs a pass


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """A verified split: how to read it, what it gave on the second batch, its error there, and how its map lies."""

    reader: Any
    output: SplitOutput
    error: float
    facing: Facing = UPRIGHT  # the reader gives the map as the network does


@dataclass(frozen=True, kw_only=True, eq=False)
class _Target:
    """A vector that some map must pool to, and the steps from there to the head."""

    vector: Tensor
    steps: tuple[Step, ...]


def find_head(network: nn.Module, probes: Probes) -> tuple[HeadCall | None, list[Call]]:
    """Return the last linear map whose output is the logits (or what they are made of), and the vectors before it.

    The calls are those of modules that take one vector an image, up to the head.
    """
    n_classes, batch = probes.first_logits.shape[1], len(probes.first)

    def keep(shape: tuple[int, ...]) -> bool:
        vector = sum(length > 1 for length in shape[1:]) <= 1
        return shape[0] == batch and (vector or shape[1] == n_classes or shape[-1] == n_classes)

    calls, result = record(network, probes.first, keep)
    probes.check_same(logits_of(result, batch))
    places = [place for place in range(len(calls) - 1, -1, -1) if is_linear_map(calls[place].module)]
    for end in ENDS:
        for place in places:
            for head, values in _read_as_logits(calls[place], probes):
                # The logits themselves are the head's output bit for bit; what is computed from it is rounded anew.
                exact = not end.name and not head.per_cell
                fitted = fit_end(end, values, probes.first_logits, tolerance=0.0 if exact else probes.tolerance)
                if fitted is not None:
                    return replace(head, fitted=fitted), calls[:place]
    return _find_scaled(network, probes, calls, places)


def _read_as_logits(call: Call, probes: Probes) -> Iterator[tuple[HeadCall, Tensor]]:
    """Yield the ways in which a call's output has the logits' shape: as it is, and as the mean over its cells."""
    output = call.output
    if output is None:
        return
    for per_cell in (False, True):
        head = HeadCall(name=call.name, module=call.module, index=call.index, per_cell=per_cell)
        if output.ndim in (3, 4) if per_cell else vector_of(output) is not None:
            values = head.logits(output)
            if values.shape == probes.first_logits.shape:
                yield head, values


def _find_scaled(
    network: nn.Module, probes: Probes, calls: list[Call], places: list[int]
) -> tuple[HeadCall | None, list[Call]]:
    """Find a head whose output is divided by a temperature, or shifted; both batches tell by how much."""
    returned = torch.cat([probes.first_logits, probes.second_logits])
    shapes = {calls[place].shape[1:] for place in places}
    others, _ = record(network, probes.second, lambda shape: shape[1:] in shapes)
    again = {call.where: call.output for call in others}
    for place in places:
        for head, values in _read_as_logits(calls[place], probes):
            output = again.get((head.module, head.index))
            if output is None:
                continue
            both = torch.cat([values, head.logits(output)])
            fits = [fit_end(end, both, returned, scaled=True, tolerance=probes.tolerance) for end in ENDS]
            good = [fitted for fitted in fits if fitted is not None]
            if good:  # a narrow stretch of a sigmoid is nearly a line: the best one is meant
                return replace(head, fitted=min(good, key=lambda fitted: fitted.error)), calls[:place]
    return None, calls


def find_linear(
    network: nn.Module, probes: Probes, head: AnyHead, before: list[Call], *, layer: str | None
) -> tuple[Found | None, str]:
    """Return the best verified linear split, preferring maps of more than one cell close to the head, and why not.

    Raises:
        ModelError: what enters the head does not depend on the image.
    """
    targets = _targets(network, probes, head, before)
    _check_variation(targets[0].vector, probes)
    single: list[HookReader | LibraryReader] = []
    tried, scattered = 0, None
    for reader, n_cells in _candidates(network, probes, head, targets, layer=layer):
        if n_cells == 1:
            single.append(reader)  # of one cell every reading is the same: the closest to the head stands for all
            continue
        tried += 1
        found = _verify(reader, probes, head)
        if found is not None and found.output.feature_map[0, 0].numel() > 1:
            return found, ""
        scattered = scattered or found
        if found is not None:
            break  # others that pool to the same have the same cells
        if tried == MOST_TRIED:
            break
    found = next(filter(None, (_verify(reader, probes, head) for reader in single[:2])), scattered)
    return found, "" if found else "no module's output pools to the vector that enters the head"


def _targets(network: nn.Module, probes: Probes, head: AnyHead, before: list[Call]) -> list[_Target]:
    """Walk back from the head's input through the affine modules that act on one vector an image."""
    captured = probes.at(network, head)
    given = head.vector(captured.given, captured.output)
    targets = [_Target(vector=given, steps=())]
    for call in reversed(before):
        output = None if call.output is None else vector_of(call.output)
        last = targets[-1]
        if output is None or call.vector is None or not torch.equal(output.float(), last.vector):
            continue
        for step in step_of(call.module):
            vector = call.vector.float()
            if relative_error(step(vector[..., None], vector)[..., 0], last.vector) <= probes.head_tolerance:
                targets.append(_Target(vector=vector, steps=(step, *last.steps)))
                break
    return targets


def _check_variation(vector: Tensor, probes: Probes) -> None:
    scale = float(vector.abs().max())
    spread = float((vector - vector.mean(dim=0)).abs().max())
    if spread <= max(VARIATION, 3 * probes.tolerance) * scale or scale == 0:
        raise ModelError(
            f"`network` must tell images apart, but what enters its head differs by only {spread:.1e} (of "
            f"{scale:.1e}) between images of different colour, shape and texture. Check its weights, or pass the "
            "`preprocess` it was trained with."
        )


def _candidates(
    network: nn.Module, probes: Probes, head: AnyHead, targets: list[_Target], *, layer: str | None
) -> Iterator[tuple[HookReader | LibraryReader, int]]:
    """Yield readers that hold on the first batch, the closest to the head first, and how many cells their maps have."""
    if layer is None and not head.activated and isinstance(head, HeadCall):
        yield from _library_candidates(network, probes, targets)
    widths = {target.vector.shape[1] for target in targets}
    widths |= {width // 2 for width in widths if width % 2 == 0}
    batch = len(probes.first)

    def keep(shape: tuple[int, ...]) -> bool:
        return shape[0] == batch and len(shape) in (3, 4) and (shape[1] in widths or shape[-1] in widths)

    calls, _ = record(network, probes.first, keep)
    for call in reversed(calls):
        if call.output is None or (layer is not None and call.name != layer):
            continue
        for reading, n_cells in _matching(call.output, targets, probes):
            place = (call.name, call.module, call.index)
            yield HookReader(network, layer=place, head=head, reading=reading), n_cells


def _library_candidates(network: Any, probes: Probes, targets: list[_Target]) -> Iterator[tuple[LibraryReader, int]]:
    """Read timm's own unpooled features, where the network has timm's three methods and they work."""
    if not has_timm_api(network):
        return
    try:
        layer, pooled, logits = timm_pass(network, probes.first, clone=True)
        raw = layer.output
    except Exception:  # a stranger's method of the same name: the traced way is next
        return
    if raw is None or relative_error(logits, probes.first_logits) > probes.tolerance:
        return
    if relative_error(pooled, targets[0].vector) > probes.tolerance:
        return
    for reading, n_cells in _matching(raw, targets, probes):
        yield LibraryReader(network, reading, device=pooled.device), n_cells


def _matching(raw: Tensor, targets: list[_Target], probes: Probes) -> Iterator[tuple[Reading, int]]:
    """Yield the readings of one output that give one of the target vectors on the first batch, with their cells."""
    shape = tuple(raw.shape)
    for layout in layouts(shape, len(probes.first), probes.size):
        parts = layout.split(raw, probes.size)
        if parts is None:
            continue
        for plain in readings(layout):
            likely = [target for target in targets if plain.begins_as(parts, target.vector, probes.tolerance)]
            applied = plain.apply(raw, probes.size) if likely else None
            if applied is None:
                continue
            for target in likely:
                reading = replace(plain, steps=target.steps)
                if reading.is_exact and relative_error(applied[1], target.vector) <= probes.tolerance:
                    yield reading, applied[0][0, 0].numel()


def _verify(reader: HookReader | LibraryReader, probes: Probes, head: AnyHead) -> Found | None:
    """Return the split if it reproduces pooled vector and logits of the second batch, else None."""
    output, error = reader.error(probes.second)
    copied, end = head.copy(), head.end
    logits = torch.nn.functional.linear(output.pooled, copied.weight, copied.bias)
    own = output.logits if head.activated else probes.second_logits.float()
    rounding = [relative_error(logits, own), relative_error(end.apply(output.logits), probes.second_logits)]
    if error > probes.tolerance or max(rounding) > probes.head_tolerance:
        return None
    plain = copy(reader)  # all that the layer gives: of a maximum only one cell a channel is left
    plain.reading = replace(reader.reading, activation="", pool=POOLS[0], steps=())
    facing = facing_of(plain, output, probes, is_of_tokens=reader.reading.layout.kind == "tokens")
    found = Found(reader=reader, output=output, error=max(error, *rounding), facing=facing or SCATTERED)
    return found if facing else upright(found, probes.size)


def facing_of(reader: Any, output: SplitOutput, probes: Probes, *, is_of_tokens: bool) -> Facing | None:
    """Return how the map lies that a reader gives, or None where its cells follow no places, which is noted."""
    if output.feature_map[0, 0].numel() == 1:
        return UPRIGHT
    (facing,) = facings(
        lambda inputs: [reader.read(inputs).feature_map], probes.first, probes.second, of_tokens=[is_of_tokens]
    )
    if facing is None:
        probes.astray.append(reader.layer)
    return facing
