"""Shared fixtures."""

import os
from collections.abc import Iterator

import _torchvision  # noqa: F401 - makes torchvision importable beside a CPU build of torch
import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("likethat", "_shapes.checked")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: with a thread each they do not wait for another
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
    torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    """Make a warning that a line of the tests causes an error, as pyproject.toml does for likethat's."""
    helpers = {path.stem for folder in config.getini("pythonpath") for path in folder.iterdir()}
    config.addinivalue_line("filterwarnings", rf"error:::({'|'.join(sorted(helpers | {'tests'}))})(\.|$)")


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Give networks with random weights the same ones in every run; what a test draws stays in the test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
