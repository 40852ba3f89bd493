"""More than one layer after the pooling: every method that shows contributions works on the frozen run."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import likethat as lt
from likethat.generators import load_generator


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    torch.manual_seed(3)
    features = [nn.Conv2d(3, 8, 4, stride=4), nn.ReLU()]
    tail = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 12), nn.Hardswish(), nn.Linear(12, 3)]
    network = nn.Sequential(*features, *tail).eval()
    return lt.split(network, example=torch.rand(1, 3, 24, 24))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(60, 3, 24, 24, generator=torch.Generator().manual_seed(1))


def paint(latents: Tensor) -> Tensor:
    """A grid of 4 x 4 colours as a picture of 24 x 24."""
    return torch.sigmoid(2 * latents).reshape(-1, 3, 4, 4).repeat_interleave(6, 2).repeat_interleave(6, 3)


def _fitted(method: str, model: lt.SplitModel, images: Tensor) -> lt.Bank:
    if method == "EPIC":
        return lt.EPIC(n_prototypes=3).fit(model, images)
    if method == "PartPrototypes":
        return lt.PartPrototypes(n_parts=2).fit(model, images)
    generator: Any = load_generator(paint, latent_dim=48)
    return lt.ProDG(generator, n_prototypes=2, n_samples=60, steps=3, batch=9).fit(model)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["EPIC", "PartPrototypes", "ProDG"])
def test_contributions_add_up_and_say_for_what_they_hold(method: str, model: lt.SplitModel, images: Tensor) -> None:
    assert model.how == "frozen"
    bank = _fitted(method, model, images)
    unseen = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(2))
    why = bank.explain(unseen)
    assert abs(why.gap()) <= 1e-4
    with torch.no_grad():
        constant = model.remainder(unseen[None])[0].double() @ model.head.weight[why.target].double()
    assert why.remainder_terms == {"constant": pytest.approx(float(constant), abs=1e-5)}
    for row in why.rows:
        assert float(row.heat_map.sum()) == pytest.approx(row.contribution, abs=1e-4)
    (held,) = [sentence for sentence in why.warnings if "exact for this image" in sentence]
    assert "not by how much the logit falls" in held
    assert not any("head reads its" in text for text in (*why.warnings, *bank.provenance.notes))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rotation_whatever_the_batch(model: lt.SplitModel, images: Tensor) -> None:
    one, other = (lt.EPIC(n_prototypes=3).fit(model, images, batch_size=size) for size in (7, 32))
    assert torch.equal(one.coordinates.matrix(), other.coordinates.matrix())


@pytest.mark.slow
def test_a_bank_is_opened_with_the_bare_network(model: lt.SplitModel, images: Tensor, tmp_path: Path) -> None:
    bank = lt.EPIC(n_prototypes=3).fit(model, images)
    bank.save(tmp_path / "bank")
    again = lt.open_bank(tmp_path / "bank", model.network)
    assert (again.model.how, again.model.layer) == (model.how, model.layer)
    assert again.explain(images[0]).logit == pytest.approx(bank.explain(images[0]).logit)
