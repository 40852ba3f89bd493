"""A device without float64, such as Apple's: what is reckoned in double precision is brought to the CPU first."""

import re
from collections.abc import Iterator
from pathlib import Path

import device
import pytest
import torch
from torch import Tensor
from toys import small_cnn

import likethat as lt
from likethat import _double
from likethat._double import double

SOURCE = Path(lt.__file__).parent


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """Return a device that has no float64, for the time of a test."""
    monkeypatch.setattr(_double, "_SINGLE", {device.NAME})
    with device.Elsewhere():
        yield torch.device(device.NAME)


def test_the_pretended_device_has_no_float64(elsewhere: torch.device) -> None:
    values = torch.rand(3).to(elsewhere)
    assert values.device == elsewhere
    assert torch.equal((values + values).cpu(), 2 * values.cpu())
    with pytest.raises(TypeError, match="this device has none"):
        values.double()
    assert double(values).dtype == torch.float64
    assert double(values).device.type == "cpu"
    assert double(torch.rand(3)).dtype == torch.float64


@pytest.fixture
def network() -> torch.nn.Module:
    return small_cnn(n_classes=3)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_network_there_is_split_fitted_and_explained_as_here(
    elsewhere: torch.device, network: torch.nn.Module, pictures: Tensor
) -> None:
    wanted = network(pictures[3:4])[0].tolist()
    there = lt.split(network.to(elsewhere), example=pictures[:4].to(elsewhere))
    assert there.device == elsewhere
    for method in (lt.EPIC(n_prototypes=2), lt.PartPrototypes(n_parts=2, n_prototypes=2)):
        bank = method.fit(there, pictures)
        why = bank.explain(pictures[3])
        assert abs(why.gap()) < 1e-4
        assert why.logit == pytest.approx(wanted[why.target], abs=1e-4)


def test_a_search_asks_and_denoises_there(elsewhere: torch.device, network: torch.nn.Module, pictures: Tensor) -> None:
    model = lt.split(network.to(elsewhere), example=pictures[:4].to(elsewhere))

    class Grey:
        """A denoiser that pulls to grey, where the model lives."""

        shape, sigma_max = (3, 16, 16), 10.0

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            weight = (1 / (1 + sigma.to(elsewhere) ** 2))[:, None, None, None]
            return weight * x.to(elsewhere) + (1 - weight) * 0.5

    found = lt.FreeMCG(Grey(), seed=0).counterfactual(model, pictures[0], budget=60)
    assert found.queries <= 60
    assert found.best.probabilities.sum() == pytest.approx(1)
    where = lt.FreeMCG(seed=0).attribute(model, pictures[0], budget=48)
    assert where.heat_map.shape == (16, 16)


def test_no_cast_goes_before_the_way_to_the_cpu() -> None:
    wrong = re.compile(r"\.double\(\)\.cpu\(\)|float64\)\.cpu\(\)|\.to\(torch\.float64\)\.cpu|\.double\(\)\.to\(\"cpu")
    found = [path.name for path in SOURCE.rglob("*.py") if wrong.search(path.read_text(encoding="utf-8"))]
    assert not found
