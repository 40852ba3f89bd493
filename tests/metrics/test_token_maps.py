"""The maps that class tokens' are measured beside: where two ways must agree, and what must be kept."""

from typing import Any

import numpy as np
import pytest
import torch
from _token_maps import AttnLRP, Frozen, Rules, attention_alone, followed, frozen_from, legrad, lrp, passed, rollout
from tokens import auc
from torch import nn

from likethat.models import split
from likethat.models.zoo import PatchTransformer


def _network(n_blocks: int = 2) -> Any:
    torch.manual_seed(0)
    network = PatchTransformer(
        in_channels=3, stem=[4, 8], n_blocks=n_blocks, n_heads=2, hidden=12, grid=(4, 4), n_classes=3
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return network.eval()


IMAGE = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("rules", [Rules(), Frozen(), AttnLRP()])
def test_every_pass_gives_the_networks_logits(rules: Rules) -> None:
    network = _network()
    torch.testing.assert_close(passed(network, IMAGE, rules).logits, network(IMAGE[None]), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_all_paths_are_those_of_attention_alone_where_the_token_has_no_layers_of_its_own() -> None:
    network = _network(n_blocks=1)
    with torch.no_grad():
        network.blocks[0].mlp[2].weight.mul_(1e-4)
        network.blocks[0].qkv.bias.zero_()
        network.blocks[0].norm1.bias.zero_()
        network.positions.zero_()
    model = split(network, preprocess={"size": (16, 16), "channels": 3})
    np.testing.assert_allclose(followed(model)(IMAGE, 1) / 16, attention_alone(network)(IMAGE, 1), rtol=1e-3, atol=1e-4)


def test_what_a_frozen_run_gives_to_patches_is_what_is_lost_without_them_under_held_coefficients() -> None:
    network = _network()
    found = passed(network, IMAGE, Frozen())
    (slope,) = torch.autograd.grad(found.logits[0, 2], found.tokens[1])
    heat = frozen_from(network, 1)(IMAGE, 2)
    by_hand = torch.einsum("tc,tc->t", slope[0], found.tokens[1][0])[1:]
    np.testing.assert_allclose(heat.ravel(), by_hand.detach().numpy(), rtol=1e-5)


def test_relevance_is_kept_where_nothing_is_added() -> None:
    network = _network()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.LayerNorm):
                module.bias.zero_()
    found = passed(network, IMAGE, AttnLRP())
    (slope,) = torch.autograd.grad(found.logits[0, 0], found.tokens[-1])
    total = (slope * found.tokens[-1]).sum()
    torch.testing.assert_close(total, found.logits[0, 0], rtol=1e-4, atol=1e-4)
    assert lrp(network)(IMAGE, 0).shape == (4, 4)


def test_rollout_spreads_at_most_one_and_legrad_is_not_negative() -> None:
    network = _network()
    assert 0 < rollout(network)(IMAGE, 0).sum() < 1
    heat = legrad(network)(IMAGE, 0)
    assert heat.min() >= 0
    assert heat.max() > 0


def test_auc_counts_ties_half() -> None:
    assert auc([2.0, 1.0], [1.0, 0.0]) == 0.875  # won, won, tied, won
