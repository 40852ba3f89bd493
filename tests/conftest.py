"""Shared fixtures; makes torchvision importable beside a CPU build of torch."""

import importlib.util
import os
from collections.abc import Iterator

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def _define_missing_torchvision_operators() -> None:
    """A CUDA wheel of torchvision beside a CPU torch misses two operators that its import registers fakes for."""
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _define_missing_torchvision_operators.library = library  # type: ignore[attr-defined]  # keep it alive


_define_missing_torchvision_operators()


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Give networks with random weights the same ones in every run; what a test draws stays in the test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
