"""The fingerprint knows the weights, the type, the layer and the pooling, and nothing else."""

import subprocess
import sys

import pytest
import torch
from model_networks import randomise, small_cnn
from torch import nn

from likethat.models import split
from likethat.models.fingerprint import fingerprint

CODE = """
import torch
from likethat.models.fingerprint import fingerprint
network = torch.nn.Linear(3, 2)
with torch.no_grad():
    network.weight.copy_(torch.arange(6.0).view(2, 3)); network.bias.zero_()
print(fingerprint(network))
"""


@pytest.mark.slow
def test_the_same_in_every_process() -> None:
    command = [sys.executable, "-c", CODE]
    run = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    network = nn.Linear(3, 2)
    with torch.no_grad():
        network.weight.copy_(torch.arange(6.0).view(2, 3))
        network.bias.zero_()
    assert run.strip() == fingerprint(network)


def test_what_changes_it() -> None:
    network = randomise(small_cnn())
    first = fingerprint(network)
    assert first == fingerprint(network)
    assert len({first, fingerprint(network, layer="5"), fingerprint(network, pooling="mean")}) == 3
    network[1].running_mean[0] += 1
    assert fingerprint(network) != first
    network[1].running_mean[0] -= 1
    half, brain = fingerprint(network.half()), fingerprint(network.bfloat16())
    assert len({first, half, brain}) == 3


def test_mode_strides_and_empty_buffers_do_not() -> None:
    network = randomise(small_cnn())
    first = fingerprint(network)
    assert fingerprint(network.train()) == first
    assert fingerprint(network.to(memory_format=torch.channels_last)) == first
    network.register_buffer("empty", torch.zeros(0))
    assert len(fingerprint(network)) == 64


def test_split_records_it() -> None:
    network = randomise(small_cnn())
    model = split(network)
    assert model.fingerprint == fingerprint(network, layer=model.layer, pooling=model.pooling)
    assert model.fingerprint != split(network, layer="4").fingerprint
