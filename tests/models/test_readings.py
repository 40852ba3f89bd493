"""Planted mistakes: a wrong reading is rejected, and each move of a norm onto the map is the slow formula."""

import pytest
import torch
from model_networks import Functional, Tokens, randomise, torchvision_network
from torch import nn

from likethat.models import readings, split
from likethat.models._probe import probe_images
from likethat.models._trace import relative_error


def test_relu_between_map_and_pool_is_not_a_mean(monkeypatch: object) -> None:
    network = randomise(Functional(lambda x: x.relu().mean([2, 3])))
    monkeypatch.setattr(readings, "ACTIVATIONS", {"": readings.ACTIVATIONS[""]})  # type: ignore[attr-defined]
    assert split(network).how == "frozen"


@pytest.mark.slow
def test_densenet_read_without_its_relu_would_be_wrong() -> None:
    network = randomise(torchvision_network("densenet121"), size=64)
    images = torch.rand(2, 3, 64, 64)
    model = split(network, example=images)
    assert model.pooling == "relu, mean"
    assert float(model.features(images).detach().min()) >= 0


@pytest.mark.slow
def test_a_reading_that_holds_on_one_batch_alone_is_rejected() -> None:
    seen: list[torch.Tensor] = []

    def pool(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return x.mean([2, 3]) if len(x) == 2 else x.amax([2, 3])  # the second batch has three images

    assert split(randomise(Functional(pool))).how == "replay"


def test_a_median_is_no_mean() -> None:
    images = torch.rand(1, 3, 64, 64)
    assert split(randomise(Functional(lambda x: x.flatten(2).median(2).values)), example=images).how == "replay"


@pytest.mark.slow
def test_registers_are_not_patches() -> None:
    network = randomise(Tokens(lambda t: t[:, 1:].mean(1), prefix=5))  # the mean takes four registers in
    model = split(network, example=torch.rand(1, 3, 64, 64))
    found = (model.pooling, model.remainder_name, model.spatially_additive)
    assert found == ("4 tokens + mean, followed", "4 tokens and constant", False)


def test_layer_norm_on_the_map_is_the_slow_formula() -> None:
    norm = randomise(nn.LayerNorm(5))
    cells = torch.randn(2, 5, 6)
    vector = cells.mean(2)
    (step, _) = readings.step_of(norm)
    moved = step(cells, vector)
    for n in range(2):
        mu = vector[n].mean()
        sd = (vector[n].var(correction=0) + norm.eps).sqrt()
        for place in range(6):
            slow = (cells[n, :, place] - mu) / sd * norm.weight + norm.bias
            assert torch.allclose(moved[n, :, place], slow, atol=1e-6)
    assert torch.allclose(moved.mean(2), norm(vector), atol=1e-6)


def test_token_grids() -> None:
    assert readings.token_grid(196, (224, 224)) == (14, 14)
    assert readings.token_grid(197, (224, 224)) is None
    assert readings.token_grid(8, (32, 64)) == (2, 4)
    assert readings.token_grid(50, (160, 320)) == (5, 10)


def test_layouts_split_and_join() -> None:
    for layout, shape in (
        (readings.Layout(kind="NCHW"), (2, 3, 4, 4)),
        (readings.Layout(kind="NHWC"), (2, 4, 4, 3)),
        (readings.Layout(kind="tokens", prefix=5), (2, 21, 3)),
    ):
        raw = torch.rand(shape)
        parts = layout.split(raw, (64, 64))
        assert parts is not None
        assert parts[0].shape == (2, 3, 4, 4)
        assert torch.equal(layout.join(*parts), raw)


def test_probe_images_differ_and_leave_the_random_state() -> None:
    state = torch.get_rng_state()
    first, second = probe_images(3, 3, (32, 48), seed=0), probe_images(3, 3, (32, 48), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, second)
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(first, probe_images(3, 3, (32, 48), seed=0))
    assert float(first.mean((2, 3)).std(0).min()) > 0.01


def test_relative_error_by_hand() -> None:
    assert relative_error(torch.tensor([1.0, 4.0]), torch.tensor([1.0, 5.0])) == 0.2  # |4 - 5| / 5
    assert relative_error(torch.tensor([float("nan")]), torch.tensor([1.0])) == float("inf")
    assert relative_error(torch.zeros(2), torch.zeros(3)) == float("inf")


@pytest.mark.parametrize("shape", [(2, 12, 4, 4), (2, 4, 4, 12), (2, 17, 12), (2, 21, 12)])
def test_a_glance_lets_no_reading_go_that_gives_the_vector(shape: tuple[int, ...]) -> None:
    raw, size, seen = torch.randn(shape), (64, 64), 0
    for layout in readings.layouts(shape, 2, size):
        parts = layout.split(raw, size)
        assert parts is not None
        for reading in readings.readings(layout):
            applied = reading.apply(raw, size)
            assert applied is not None
            vector = applied[1]
            assert reading.begins_as(parts, vector, 1e-6)
            assert not reading.begins_as(
                parts, torch.cat([vector[:, :1] + 0.01 * vector.abs().max(), vector[:, 1:]], 1), 1e-3
            )
            assert not reading.begins_as(parts, vector[:, 1:], 1.0)
            seen += 1
    assert seen >= len(readings.ACTIVATIONS) * 5
