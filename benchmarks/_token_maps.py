"""Heat maps of a class token's logit: from where its content can be followed, and by the methods of others.

LeGrad and AttnLRP are written from their papers for the zoo's network; occlusion and integrated gradients are captum's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _freemcg_methods import captum_map
from torch import Tensor, nn
from torch.autograd import Function

from likethat.models import _followed
from likethat.models.split_model import SplitModel
from likethat.models.zoo import PatchTransformer

Map = Callable[[Tensor, int], np.ndarray]
"""An image and a class to a map: a number a patch (row, column), or a pixel (height, width)."""

GAMMA = 0.05  # of AttnLRP's linear layers, as its paper chose for vision transformers
QUESTIONS = 128  # of occlusion (windows of 12 pixels, every 6) and integrated gradients


class Rules:
    """How the steps of a pass are taken; here as the network takes them."""

    def norm(self, layer: nn.LayerNorm, x: Tensor) -> Tensor:
        return layer(x)  # type: ignore[no-any-return]

    def linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return layer(x)  # type: ignore[no-any-return]

    def gelu(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(x)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    def attention(self, weights: Tensor) -> Tensor:
        return weights


class Frozen(Rules):
    """The frozen run: scales, gates and attention weights are held."""

    def norm(self, layer: nn.LayerNorm, x: Tensor) -> Tensor:
        scale = (x.var(-1, correction=0, keepdim=True) + layer.eps).rsqrt().detach()
        return (x - x.mean(-1, keepdim=True)) * scale * layer.weight + layer.bias

    def gelu(self, x: Tensor) -> Tensor:
        return x * (nn.functional.gelu(x) / x).detach()

    def attention(self, weights: Tensor) -> Tensor:
        return weights.detach()


class AttnLRP(Frozen):
    """The rules of AttnLRP as changed gradients: relevance is input times gradient.

    Source:
        Achtibat et al. (2024), AttnLRP, ICML: identity rule of norms and activations, half of each factor of a product,
        softmax by its Taylor expansion (which is its gradient times input), generalised gamma rule in linear layers.
    """

    def linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        return _Gamma.apply(x, layer.weight, layer.bias)  # type: ignore[no-any-return]

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.detach() + a.detach() @ b) / 2

    def attention(self, weights: Tensor) -> Tensor:
        return weights


class _Gamma(Function):
    """A linear layer whose gradient times input is the generalised gamma rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, bias)
        return nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        x, weight, bias = ctx.saved_tensors
        more, less = weight + GAMMA * weight.clamp(min=0), weight + GAMMA * weight.clamp(max=0)
        above, below = x.clamp(min=0), x.clamp(max=0)
        output = nn.functional.linear(x, weight, bias)
        relevance = output * gradients[0]
        up = above @ more.T + below @ less.T + bias + GAMMA * bias.clamp(min=0)
        down = above @ less.T + below @ more.T + bias + GAMMA * bias.clamp(max=0)
        # above 0 `up` is at least the output, below 0 `down` at most: neither quotient can run off
        first = torch.where(output > 0, relevance / torch.where(output > 0, up, 1), 0)
        second = torch.where(output < 0, relevance / torch.where(output < 0, down, 1), 0)
        return torch.where(x > 0, first @ more + second @ less, first @ less + second @ more), None, None


@dataclass(frozen=True, kw_only=True, eq=False)
class Pass:
    """One image's way through the network.

    Attributes:
        tokens: those that enter each block, and those behind the last, (1, token, channel).
        attentions: (1, head, token, token) of each block.
        values: (1, head, token, size) of each block.
        logits: (1, class).
    """

    tokens: list[Tensor]
    attentions: list[Tensor]
    values: list[Tensor]
    logits: Tensor


def passed(network: PatchTransformer, image: Tensor, rules: Rules) -> Pass:
    """Run the network step by step; gradients reach whatever the pass holds."""
    patches = network.patches(image[None] - 0.5).flatten(2).transpose(1, 2).detach()
    tokens = [(torch.cat([network.token, patches], 1) + network.positions).detach().requires_grad_()]
    attentions, values = [], []
    for block in network.blocks:
        stream = tokens[-1]
        parts = rules.linear(block.qkv, rules.norm(block.norm1, stream)).unflatten(2, (3, block.n_heads, -1))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        weights = rules.product(query, key.transpose(-2, -1)) * query.shape[-1] ** -0.5
        weights = rules.attention(weights.softmax(-1))
        met = rules.product(weights, value).transpose(1, 2).flatten(2)
        stream = stream + rules.linear(block.proj, met)
        hidden = rules.gelu(rules.linear(block.mlp[0], rules.norm(block.norm2, stream)))
        tokens.append(stream + rules.linear(block.mlp[2], hidden))
        attentions.append(weights)
        values.append(value)
    logits = rules.linear(network.head, rules.norm(network.norm, tokens[-1])[:, 0])
    return Pass(tokens=tokens, attentions=attentions, values=values, logits=logits)


def _grid(values: Tensor) -> np.ndarray:
    """Return (row, column) of a number for each patch."""
    side = round(len(values) ** 0.5)
    found: np.ndarray = values.detach().reshape(side, side).numpy()
    return found


def followed(model: SplitModel) -> Map:
    """What `likethat.split` says: the paths of all attentions, traced to where the content of a patch came from."""

    def make(image: Tensor, target: int) -> np.ndarray:
        with torch.no_grad():
            cells = model.features(image[None])[0]
        return torch.einsum("c,chw->hw", model.head.weight[target], cells).numpy()

    return make


def holders(model: SplitModel) -> Map:
    """The same paths, credited to the patch from which the token takes, whatever that took from others."""
    make = followed(model)

    def untraced(image: Tensor, target: int) -> np.ndarray:
        with patch.object(_followed, "_TAKEN", 0.0):
            return make(image, target)

    return untraced


def attention_alone(network: PatchTransformer) -> Map:
    """The paths of all attentions straight to the head: what the token's own layers make of it is left to the rest."""

    @torch.no_grad()
    def make(image: Tensor, target: int) -> np.ndarray:
        found = passed(network, image, Rules())
        brought = torch.zeros_like(found.tokens[0][0])
        for block, weights, value in zip(network.blocks, found.attentions, found.values, strict=True):
            content = value - block.qkv.bias.unflatten(0, (3, block.n_heads, 1, -1))[2]
            mixed = (weights[0, :, 0, :, None] * content[0]).transpose(0, 1).flatten(1)
            brought = brought + mixed @ block.proj.weight.T
        scale = (found.tokens[-1][0, 0].var(correction=0) + network.norm.eps).rsqrt()
        ending = (brought - brought.mean(-1, keepdim=True)) * scale * network.norm.weight
        return _grid((ending @ network.head.weight[target])[1:])

    return make


def frozen_from(network: PatchTransformer, block: int) -> Map:
    """The frozen run from the tokens that enter a block, for one class by one backward pass."""

    def make(image: Tensor, target: int) -> np.ndarray:
        found = passed(network, image, Frozen())
        (slope,) = torch.autograd.grad(found.logits[0, target], found.tokens[block])
        return _grid((slope * found.tokens[block])[0, 1:].sum(-1))

    return make


def lrp(network: PatchTransformer) -> Map:
    """AttnLRP, at the tokens that enter the first block."""

    def make(image: Tensor, target: int) -> np.ndarray:
        found = passed(network, image, AttnLRP())
        (slope,) = torch.autograd.grad(found.logits[0, target], found.tokens[0])
        return _grid((slope * found.tokens[0])[0, 1:].sum(-1))

    return make


def legrad(network: PatchTransformer) -> Map:
    """The positive gradient of each layer's own logit by its attention, over heads, tokens that look, and layers.

    Source:
        Bousselham et al. (2024), LeGrad, equations 4 to 9: the token behind each block is given to the head.
    """

    def make(image: Tensor, target: int) -> np.ndarray:
        found = passed(network, image, Rules())
        total = torch.zeros_like(found.attentions[0][0, 0, 0])
        for weights, tokens in zip(found.attentions, found.tokens[1:], strict=True):
            logit = network.head(network.norm(tokens[:, 0]))[0, target]
            (slope,) = torch.autograd.grad(logit, weights, retain_graph=True)
            total += slope[0].clamp(min=0).mean((0, 1))
        return _grid(total[1:])

    return make


def rollout(network: PatchTransformer) -> Map:
    """Abnar and Zuidema (2020): the product of the layers' mean attention, half of it the token's own."""

    @torch.no_grad()
    def make(image: Tensor, _: int) -> np.ndarray:
        found = passed(network, image, Rules())
        total = torch.eye(found.tokens[0].shape[1])
        for weights in found.attentions:
            total = (weights[0].mean(0) + torch.eye(len(total))) / 2 @ total
        return _grid(total[0, 1:])

    return make


def grad_cam(network: PatchTransformer) -> Map:
    """Grad-CAM where its users put it in a ViT: the first norm of the last block, behind which patches still count."""

    def make(image: Tensor, target: int) -> np.ndarray:
        caught: list[Tensor] = []
        handle = network.blocks[-1].norm1.register_forward_hook(lambda *given: caught.append(given[2]))
        logits = network(image[None])
        handle.remove()
        (slope,) = torch.autograd.grad(logits[0, target], caught[0])
        return _grid((caught[0][0, 1:] @ slope[0, 1:].mean(0)).relu())

    return make


def last_tokens(network: PatchTransformer) -> Map:
    """The patches' own last tokens through the head, which never reads them."""

    @torch.no_grad()
    def make(image: Tensor, target: int) -> np.ndarray:
        found = passed(network, image, Rules())
        return _grid(network.norm(found.tokens[-1])[0, 1:] @ network.head.weight[target])

    return make


def by_captum(network: PatchTransformer, name: str) -> Map:
    """Occlusion or integrated gradients of captum."""
    return lambda image, target: captum_map(name, image, target, network, budget=QUESTIONS, seed=0)


def chance(network: PatchTransformer) -> Map:
    """A random map."""
    rng = torch.Generator().manual_seed(0)
    return lambda _, __: _grid(torch.rand(network.positions.shape[1] - 1, generator=rng))


def candidates(model: SplitModel) -> dict[str, Map]:
    """Return from where a token's content can be followed."""
    network: Any = model.network
    runs = {f"frozen run from block {k + 1}": frozen_from(network, k) for k in range(len(network.blocks))}
    paths = {"traced paths": followed(model), "all paths": holders(model)}
    return {**paths, "attention paths alone": attention_alone(network), **runs}


def others(model: SplitModel) -> dict[str, Map]:
    """Return the methods of others."""
    network: Any = model.network
    return {
        "rollout": rollout(network),
        "Grad-CAM": grad_cam(network),
        "occlusion": by_captum(network, "occlusion"),
        "integrated gradients": by_captum(network, "gradients"),
        "LeGrad": legrad(network),
        "AttnLRP": lrp(network),
        "last tokens": last_tokens(network),
        "random": chance(network),
    }
