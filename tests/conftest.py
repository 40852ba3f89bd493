"""Shared fixtures."""

import os
from collections.abc import Iterator

import _torchvision  # noqa: F401 - makes torchvision importable beside a CPU build of torch
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Give networks with random weights the same ones in every run; what a test draws stays in the test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
