"""Find a map that decides the logits when no head is linear in a pooled one: the network is then replayed from it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from likethat.errors import LikethatError
from likethat.models._ends import End
from likethat.models._probe import Probes
from likethat.models._readers import AnyHead, ReplayReader
from likethat.models._search import Found
from likethat.models._trace import Call, record, relative_error
from likethat.models.readings import Layout, layouts, seems_channels_last

__all__ = ["find_replay"]

MOST_TRIED = 48


def find_replay(
    network: nn.Module, probes: Probes, *, layer: str | None, activated: AnyHead | None, end: End
) -> Found | None:
    """Return the replay closest to the logits whose map decides them, or None.

    A map that decides the logits alone comes first; then one that does so together with the rest of the network.
    """
    calls, _ = record(network, probes.first, lambda _: False)
    with_images: Found | None = None
    for tried, (call, layout) in enumerate(_places(calls, probes, layer)):
        if tried >= MOST_TRIED:
            break
        reader = ReplayReader(network, layer=(call.name, call.module, call.index), layout=layout)
        reader.input_shape = tuple(probes.first.shape[1:])
        reader.activated, reader.end = activated, end
        checked = _check(reader, probes)
        if checked is not None and not reader.needs_images:
            return checked
        with_images = with_images or checked
    return with_images


def _places(calls: list[Call], probes: Probes, layer: str | None) -> Iterator[tuple[Call, Layout]]:
    for call in reversed(calls):
        if layer is not None and call.name != layer:
            continue
        for layout in layouts(call.shape, len(probes.first), probes.size):
            if layout.kind == "NHWC" and not seems_channels_last(call.shape):
                continue
            if layout.kind == "NCHW" and seems_channels_last(call.shape):
                continue
            cells = call.shape[2] * call.shape[3] if layout.kind == "NCHW" else call.shape[1]
            if cells > 1 or layer is not None:
                yield call, layout


def _check(reader: ReplayReader, probes: Probes) -> Found | None:
    """Replay the second batch's map, and that map with noise: it must give, and must move, the logits."""
    try:
        output = reader.read(probes.second)
        noise = _noise(output.feature_map)
        same = reader.replay(output.feature_map, probes.second)
        moved = reader.replay(output.feature_map + noise, probes.second)
        blind = reader.replay(output.feature_map + noise, _others(probes))
    except (LikethatError, RuntimeError, AssertionError, KeyError, IndexError, TypeError, ValueError):
        return None  # this module's output cannot be replaced; the next one may
    own = (reader.end if reader.activated is None else reader.activated.end).apply(output.logits)
    error = max(relative_error(same, output.logits), relative_error(own, probes.second_logits))
    if error > probes.head_tolerance or relative_error(moved, output.logits) <= 10 * probes.tolerance:
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
