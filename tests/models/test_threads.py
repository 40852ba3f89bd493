"""Threads that ask one network get their own answers."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import toys
from torch import Tensor, nn

import likethat as lt


def in_threads(call: Callable[[int], Any], n: int = 48, threads: int = 4) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(call, range(n)))


class Slow(nn.Module):
    """Gives other threads their turn between the layers, as a large layer does."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = threading.Event()

    def forward(self, x: Tensor) -> Tensor:
        self.turn.wait(0.001)
        return x


def slow_cnn() -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in toys.small_cnn():
        layers += [layer, Slow()]
    return nn.Sequential(*layers[:-1]).eval()


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
def test_each_thread_gets_its_own_features(training: bool) -> None:
    network, images = slow_cnn(), toys.pictures(48)
    model = lt.split(network, example=images[:2])
    alone = [model(images[index : index + 1]) for index in range(48)]
    network.train(training)
    together = in_threads(lambda index: model(images[index : index + 1]))
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.feature_map, other.feature_map)
        assert torch.equal(one.pooled, other.pooled)
        assert torch.equal(one.logits, other.logits)
    assert all(module.training == training for module in network.modules())
    model.check_unchanged(fully=True)  # no batch statistics were moved


@pytest.mark.slow
def test_the_users_own_thread_is_not_listened_to() -> None:
    network, images = slow_cnn(), toys.pictures(48)
    model = lt.split(network, example=images[:2])
    alone = [model(images[index : index + 1]).pooled for index in range(12)]
    done = threading.Event()

    def use() -> None:
        with torch.no_grad():
            while not done.is_set():
                network(images[20:24])

    other = threading.Thread(target=use)
    other.start()
    try:
        for index in range(12):
            assert torch.equal(model(images[index : index + 1]).pooled, alone[index])
    finally:
        done.set()
        other.join()


@pytest.mark.slow
def test_two_networks_that_share_layers_in_training() -> None:
    body = slow_cnn()[:-1]
    networks = [nn.Sequential(body, nn.Linear(16, n)).train() for n in (3, 4)]
    for network in networks:
        network.eval()
    models = [lt.split(network, example=toys.pictures(2)) for network in networks]
    images = toys.pictures(24)
    alone = [models[index % 2].logits(images[index : index + 1]) for index in range(24)]
    for network in networks:
        network.train()
    together = in_threads(lambda index: models[index % 2].logits(images[index : index + 1]), n=24)
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert all(module.training for network in networks for module in network.modules())
