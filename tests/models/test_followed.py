"""Class tokens located: against a slow twin that follows one patch at a time, and on the families that have them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from model_networks import randomise, timm_network, tiny_vit
from torch import Tensor, nn

import likethat as lt
from likethat.errors import BankMismatchError
from likethat.models import split
from likethat.models._followed import FollowedTokens
from likethat.models._followed_search import FollowedReader
from likethat.models._frozen import NotFrozenError
from likethat.models._trace import relative_error


def _hugging_face(name: str, **options: Any) -> nn.Module:
    import transformers

    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    config = getattr(transformers, f"{name}Config")(image_size=64, num_labels=5, patch_size=16, **sizes, **options)
    return getattr(transformers, f"{name}ForImageClassification")(config)


def _torchvision() -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(64, 16, 2, 4, 48, 96, num_classes=5)


def _timm(name: str, **options: Any) -> nn.Module:
    sizes = {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 4, "num_classes": 5, "patch_size": 16}
    return timm_network(name, **{**sizes, **options})


FAMILIES: dict[str, Any] = {
    "timm vit": lambda: _timm("vit_tiny_patch16_224"),
    "timm deit distilled": lambda: _timm("deit_tiny_distilled_patch16_224"),
    "timm dinov2, registers": lambda: _timm("vit_small_patch14_reg4_dinov2"),
    "timm beit": lambda: _timm("beit_base_patch16_224", global_pool="token"),
    "timm eva02": lambda: _timm("eva02_tiny_patch14_224", global_pool="token"),
    "timm clip": lambda: _timm("vit_base_patch32_clip_224"),
    "torchvision vit": _torchvision,
    "hf vit": lambda: _hugging_face("ViT"),
    "hf deit": lambda: _hugging_face("DeiT"),
    "hf dinov2": lambda: _hugging_face("Dinov2"),
    "hf dinov2, registers": lambda: _hugging_face("Dinov2WithRegisters"),
    "hf beit": lambda: _hugging_face("Beit", use_mean_pooling=False),
}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_patches_tokens_and_constant_add_up_on_images_not_seen(family: str) -> None:
    network = randomise(FAMILIES[family]())
    model = split(network)
    assert (model.how, model.grid, model.spatially_additive) == ("followed", (4, 4), False)
    images = torch.rand(2, 3, 64, 64)
    output, error = model._reader.error(model._inputs(images))
    assert error <= 1e-5
    again = nn.functional.linear(output.pooled, model.head.weight, model.head.bias)
    assert relative_error(again, output.logits) <= 1e-5
    assert float(output.feature_map.abs().max()) > 1e-3
    assert relative_error(output.feature_map[0], output.feature_map[1]) > 1e-3


def _slow_twin(network: Any, image: Tensor, patch: int) -> Tensor:
    """Follow what comes from one patch to the class token, by whichever token, block by block, with plain formulas."""

    def normed(norm: Any, x: Tensor, scale: Tensor) -> Tensor:
        return (x - x.mean()) * scale * norm.weight

    def scale_of(norm: Any, x: Tensor) -> Tensor:
        return (x.var(unbiased=False) + norm.eps).rsqrt()

    tokens = network._pos_embed(network.patch_embed(image))
    brought = torch.zeros_like(tokens[0, 0])
    comes = [float(token == patch) for token in range(tokens.shape[1])]  # the share of each token's content
    for block in network.blocks:
        heads, size = block.attn.num_heads, block.attn.head_dim
        entering = block.norm1(tokens)[0]
        query, key, _ = block.attn.qkv(entering).reshape(len(entering), 3, heads, size).unbind(1)
        attention = torch.einsum("qhd,khd->hqk", query * size**-0.5, key).softmax(-1)
        weights = block.attn.qkv.weight[2 * heads * size :]
        own = weights @ normed(block.norm1, brought, scale_of(block.norm1, tokens[0, 0]))
        mixed = attention[:, 0, :1] * own.reshape(heads, size)
        for token, share in list(enumerate(comes))[1:]:
            given = weights @ normed(block.norm1, tokens[0, token], scale_of(block.norm1, tokens[0, token]))
            mixed = mixed + share * attention[:, 0, token, None] * given.reshape(heads, size)
        comes = [(share + sum(a * c for a, c in zip(row, comes, strict=True))) / 2
                 for share, row in zip(comes, attention.mean(0).tolist(), strict=True)]  # fmt: skip
        brought = brought + block.attn.proj.weight @ mixed.flatten()
        between = tokens + block.attn(block.norm1(tokens))
        hidden = block.mlp.fc1(block.norm2(between))[0, 0]
        gates = nn.functional.gelu(hidden) / hidden
        inner = block.mlp.fc1.weight @ normed(block.norm2, brought, scale_of(block.norm2, between[0, 0]))
        brought = brought + block.mlp.fc2.weight @ (gates * inner)
        tokens = block(tokens)
    return normed(network.norm, brought, scale_of(network.norm, tokens[0, 0]))


@pytest.mark.slow
@torch.no_grad()
def test_each_patch_gives_what_the_slow_twin_says() -> None:
    network = randomise(tiny_vit())
    model = split(network, preprocess=None)
    image = torch.rand(1, 3, 64, 64)
    cells = model.features(image)[0].flatten(1) / 16
    by_hand = torch.stack([_slow_twin(network, image, 1 + cell) for cell in range(16)], dim=1)
    assert relative_error(cells, by_hand) <= 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_every_attention_is_followed() -> None:
    network = randomise(tiny_vit(depth=5))
    tail = FollowedTokens(lambda inputs: [network.forward_features(inputs)], torch.rand(1, 3, 64, 64))
    assert tail.n_attentions == 5


@pytest.mark.slow
@torch.no_grad()
def test_random_weights_give_another_map() -> None:
    one, other = (split(randomise(tiny_vit(), seed)) for seed in (0, 1))
    image = torch.rand(1, 3, 64, 64)
    maps = [model.features(image)[0].mean(0).flatten() for model in (one, other)]
    assert abs(float(torch.corrcoef(torch.stack(maps))[0, 1])) < 0.9


def test_tokens_that_meet_elsewhere_are_refused_by_the_operation() -> None:
    with pytest.raises(NotFrozenError, match=r"tokens meet in the operation `(mean|add)`"):
        FollowedTokens(lambda x: [x + x.mean(1, keepdim=True)], torch.rand(1, 5, 4))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["EPIC", "PartPrototypes"])
def test_methods_work_on_it_unchanged(method: str) -> None:
    model = split(randomise(tiny_vit()))
    images = torch.rand(40, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    bank = (lt.EPIC(n_prototypes=3) if method == "EPIC" else lt.PartPrototypes(n_parts=2)).fit(model, images)
    why = bank.explain(images[0])
    assert abs(why.gap()) <= 1e-4
    (held,) = [sentence for sentence in why.warnings if "exact for this image" in sentence]
    assert "attention and gates of the class token" in held
    assert "the tokens' own" in held
    assert "located in the picture" in held


@pytest.mark.slow
def test_what_it_costs_and_where_the_logit_is_are_said() -> None:
    model = split(randomise(tiny_vit()))
    assert "forwards" in model.note
    assert "is located" in model.note
    assert model._reader.forwards <= 4


@pytest.mark.slow
@torch.no_grad()
def test_one_run_of_the_network_shows_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = split(randomise(tiny_vit()), preprocess=None)
    images = torch.rand(3, 3, 64, 64)
    together = model.forward(images)
    assert model._reader.forwards < 2.2  # a run, and what is brought once through the layers
    monkeypatch.setattr(torch, "vmap", _refused)  # as where a step takes images one by one only
    alone = model.forward(images)
    for one, other in ((together.feature_map, alone.feature_map), (together.logits, alone.logits)):
        assert relative_error(one, other) <= 1e-5


def _refused(*_: Any, **__: Any) -> Any:
    raise RuntimeError("no batching rule")


@pytest.mark.slow
def test_gradients_pass_to_the_image_through_the_coefficients_too() -> None:
    network = randomise(tiny_vit()).double()
    rng = torch.Generator().manual_seed(2)
    image, direction = torch.rand(2, 1, 3, 64, 64, generator=rng, dtype=torch.float64)
    tail = FollowedTokens(lambda inputs: [network.forward_features(inputs)], image)

    def value(x: Tensor) -> Tensor:
        return tail.given(tail.run(x), 0).square().sum()

    (gradient,) = torch.autograd.grad(value(image.requires_grad_()), image)
    with torch.no_grad():
        slope = (value(image + 1e-5 * direction) - value(image - 1e-5 * direction)) / 2e-5
    assert torch.allclose((gradient * direction).sum(), slope, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("n_registers", [3, 4, 12])
def test_registers_without_a_class_token_are_no_part_of_the_map(n_registers: int) -> None:
    network = randomise(tiny_vit(reg_tokens=n_registers, class_token=False, global_pool="avg"))
    model = split(network)
    assert (model.pooling, model.grid, model.spatially_additive) == ("mean, layer norm", (4, 4), True)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", ["cait_xxs24_224", "xcit_nano_12_p16_224"])
def test_class_attention_is_located_by_the_frozen_run_from_the_last_patches(name: str) -> None:
    sizes: dict[str, Any] = {"img_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 4, "num_classes": 5}
    sizes |= {"patch_size": 16} if name.startswith("cait") else {}
    model = split(randomise(timm_network(name, **sizes)))
    assert (model.how, model.grid) == ("frozen", (4, 4))
    output, error = model._reader.error(model._inputs(torch.rand(2, 3, 64, 64)))
    assert error <= 1e-5
    assert float(output.feature_map.abs().max()) > 1e-3


class _RunningMean(nn.Module):
    """Tokens meet outside an attention."""

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + tokens.cumsum(1) / tokens.shape[1]


@pytest.mark.slow
@torch.no_grad()
def test_where_tokens_are_not_followed_the_note_says_why() -> None:
    network: Any = randomise(tiny_vit())
    network.blocks.insert(1, _RunningMean().eval())
    model = split(network)
    assert model.how == "library"
    assert "class token is not followed: tokens meet in the operation `cumsum`, not in an attention." in model.note


class _Mean(nn.Module):
    """The mean of several networks' logits."""

    def __init__(self, *members: nn.Module) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([member(images) for member in self.members]).mean(0)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("with_cnn", [False, True])
def test_an_ensemble_is_located_as_its_members_are(with_cnn: bool) -> None:
    torch.manual_seed(1)
    cnn = nn.Sequential(
        nn.Conv2d(3, 6, 16, stride=16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    )
    members = [
        randomise(_timm("vit_tiny_patch16_224")),
        cnn if with_cnn else randomise(_timm("vit_tiny_patch16_224"), 2),
    ]
    model = split(_Mean(*members).eval(), preprocess=None, example=torch.rand(1, 3, 64, 64))
    images = torch.rand(2, 3, 64, 64)
    assert (model.how, model.grid, model.error <= 1e-5) == ("followed", (4, 4), True)
    each = [split(member.eval(), preprocess=None, example=images).heat_map(images, 3) for member in members]
    assert relative_error(model.heat_map(images, 3), (each[0] + each[1]) / 2) <= 1e-5
    assert relative_error(model.constant(images), model.remainder(images)) > 1e-3  # tokens have something of their own
    assert relative_error(model.logits(images), model.forward(images).logits) <= 1e-5


class _Coarse(nn.Module):
    """A class token that attends to patches two by two; patches are changed beside it, without it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.local = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.query, self.key, self.value = (nn.Linear(8, 8, bias=False) for _ in range(3))
        self.tokens, self.head = nn.Identity(), nn.Linear(8, 3)

    def attended(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tokens before attention, its weights, and its values."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1)
        tokens = torch.cat([tokens[:, :1], tokens[:, 1:] + self.local(tokens[:, 1:]).relu()], dim=1)
        token, patches = torch.split(tokens, [1, 16], dim=1)
        pooled = nn.functional.avg_pool2d(patches.transpose(1, 2).reshape(-1, 8, 4, 4), 2).flatten(2).transpose(1, 2)
        brought = torch.cat([token, pooled], dim=1)
        weights = (self.query(tokens) @ self.key(brought).transpose(1, 2)).softmax(-1)
        return tokens, weights, self.value(brought)

    def forward(self, images: Tensor) -> Tensor:
        tokens, weights, values = self.attended(images)
        logits: Tensor = self.head(self.tokens(tokens + weights @ values)[:, 0])
        return logits


@torch.no_grad()
def test_tokens_are_followed_past_cuts_and_to_a_coarser_grid() -> None:
    torch.manual_seed(2)
    network = _Coarse().eval()
    images = torch.rand(2, 3, 16, 16)
    model = split(network, example=images)
    assert (model.how, model.grid) == ("followed", (4, 4))
    assert model.error <= 1e-5
    _, weights, values = network.attended(images)
    given = (weights[:, 0, 1:, None] * values[:, 1:]) @ network.head.weight[1]  # what each of four places brings
    expected = given.reshape(2, 2, 2).repeat_interleave(2, 1).repeat_interleave(2, 2) / 4
    assert relative_error(model.heat_map(images, 1), expected) <= 1e-5


def test_a_bank_of_another_rule_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network, images = tiny_vit().eval(), torch.rand(12, 3, 64, 64)
    with monkeypatch.context() as earlier:
        earlier.setattr(FollowedReader, "rule", "")
        lt.EPIC().fit(lt.split(network, example=images[:2]), images).save(tmp_path / "bank")
    with pytest.raises(BankMismatchError, match="earlier version"):
        lt.open_bank(tmp_path / "bank").attach(lt.split(network, example=images[:2]))


class MeanAsToken(nn.Module):
    """Attention pooling as CLIP's ResNets have it: the token that reads a map is the mean of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 4, stride=4), nn.ReLU(), nn.Conv2d(12, 16, 3, padding=1))
        self.keys, self.head = nn.Linear(16, 48), nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        cells = self.stem(images).flatten(2).mT
        tokens = torch.cat([cells.mean(1, keepdim=True), cells], 1)
        query, key, value = self.keys(tokens).chunk(3, 2)
        pooled = nn.functional.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        return self.head(pooled)[:, 0]  # type: ignore[no-any-return]


def test_a_token_that_is_the_mean_of_the_cells_is_located() -> None:
    """No attention behind the tokens brings it anything: it is made of the map, from which it is run frozen."""
    torch.manual_seed(3)
    model = lt.split(MeanAsToken().eval(), example=torch.rand(2, 3, 16, 16))
    images = torch.rand(3, 3, 16, 16)
    output = model.forward(images)
    located = (output.feature_map.mean((2, 3)) @ model.head.weight.T).gather(1, output.logits.argmax(1)[:, None])
    assert model.grid == (4, 4)
    assert bool((located.abs() > 1e-3).all())
    bank = lt.EPIC(n_prototypes=1).fit(model, torch.rand(12, 3, 16, 16))
    assert abs(bank.explain(images[0]).gap()) < 1e-5
