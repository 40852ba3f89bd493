from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from likethat.errors import InputError, ModelError, NonFiniteError
from likethat.generators import load_generator
from likethat.generators.base import LatentGenerator
from likethat.generators.text.language_model import LanguageModel, load_language_model

transformers = pytest.importorskip("transformers")
WORDS = ["[END]", "[UNK]", *(f"word{number}" for number in range(60))]


@cache
def parts(family: str) -> tuple[Any, Any]:
    """A model of a few thousand random weights, and a tokenizer of 62 words, both made here."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    inside = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inside.pre_tokenizer = Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inside, eos_token="[END]", unk_token="[UNK]")
    shared: dict[str, Any] = {"vocab_size": len(WORDS), "eos_token_id": 0, "bos_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if family == "gpt2":
            config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **shared)
            network = transformers.GPT2LMHeadModel(config)
        else:
            config = transformers.LlamaConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=64,
                **shared,
            )
            network = transformers.LlamaForCausalLM(config)
        for parameter in network.parameters():  # large enough for the prompt to decide
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.35)
    return network, tokenizer


def generator(family: str = "gpt2", **options: Any) -> LanguageModel:
    return LanguageModel(*parts(family), **{"latent_dim": 5, "max_new_tokens": 7, **options})


def points(n: int) -> torch.Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(1))


class Output(dict[str, Any]):
    __getattr__ = dict.__getitem__


class Renamed(torch.nn.Module):
    """A network that remembers all vectors so far, so that only its forward says what it calls that."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.config, self.generation_config = network, network.config, network.generation_config
        self.get_input_embeddings = network.get_input_embeddings
        self.heard: list[int] = []

    def answer(self, name: str, vectors: torch.Tensor, memory: torch.Tensor | None) -> Output:
        self.heard.append(vectors.shape[1])
        seen = vectors if memory is None else torch.cat([memory, vectors], dim=1)
        return Output({"logits": self.network(inputs_embeds=seen, use_cache=False).logits, name: seen})


class Before(Renamed):
    """As in transformers before 5.24."""

    def forward(self, inputs_embeds: Any, past_key_values: Any = None, use_cache: bool = False) -> Output:
        return self.answer("past_key_values", inputs_embeds, past_key_values)


class After(Renamed):
    """As in transformers from 5.40."""

    def forward(self, inputs_embeds: Any, cache: Any = None, use_cache: bool = False) -> Output:
        return self.answer("cache", inputs_embeds, cache)


@pytest.mark.parametrize("release", [Before, After])
def test_what_a_network_remembers_may_have_the_old_or_the_new_name(release: type[Renamed]) -> None:
    network, tokenizer = parts("gpt2")
    watched = release(network)
    made = LanguageModel(watched, tokenizer, latent_dim=5, max_new_tokens=7)
    assert made(points(3)) == generator()(points(3))
    assert watched.heard[:3] == [4, 1, 1]  # the soft prompt, then one token at a time


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_text_does_not_depend_on_the_others(family: str, temperature: float) -> None:
    made = generator(family, temperature=temperature, prompt="word3 word4")
    texts = made(points(11))
    assert [made(points(11)[[row]])[0] for row in (0, 7, 10)] == [texts[row] for row in (0, 7, 10)]
    assert made(points(11).flip(0)) == texts[::-1]
    assert len(set(texts)) > 3
    assert all(set(text.split()) <= set(WORDS) for text in texts)


def test_it_is_a_latent_generator() -> None:
    made = generator()
    assert isinstance(made, LatentGenerator)
    assert (made.kind, made.differentiable, made.prior.dim) == ("text", False, 5)
    assert made(points(0)) == []


def test_greedy_is_what_the_library_generates() -> None:
    made = generator(prompt="word9")
    network, tokenizer = parts("gpt2")
    vectors = made.prefix(points(1))
    word = network.get_input_embeddings()(torch.tensor([tokenizer("word9")["input_ids"]]))
    both = torch.cat([vectors, word], dim=1)
    ids = network.generate(
        inputs_embeds=both,
        attention_mask=torch.ones(both.shape[:2], dtype=torch.long),
        max_new_tokens=7,
        do_sample=False,
        pad_token_id=0,
    )
    assert made(points(1)) == [tokenizer.decode(ids[0], skip_special_tokens=True)]


def test_soft_prompts_lie_where_tokens_do() -> None:
    table = parts("gpt2")[0].get_input_embeddings().weight.detach()
    vectors = generator(n_prefix=3).prefix(torch.randn(4000, 5, generator=torch.Generator().manual_seed(0)))
    assert vectors.shape == (4000, 3, 32)
    assert torch.allclose(vectors.mean((0, 1)), table.mean(0), atol=0.05)
    length = (vectors - table.mean(0)).pow(2).sum(2).mean().sqrt()
    assert float(length / (table - table.mean(0)).pow(2).sum(1).mean().sqrt()) == pytest.approx(1, abs=0.05)
    far = generator(n_prefix=3, scale=2.0).prefix(torch.ones(1, 5)) - table.mean(0)
    assert torch.allclose(far, 2 * (generator(n_prefix=3).prefix(torch.ones(1, 5)) - table.mean(0)), atol=1e-5)


def test_the_seed_decides_the_map_and_the_draws() -> None:
    assert generator(temperature=1.0)(points(6)) == generator(temperature=1.0)(points(6))
    assert generator(temperature=1.0)(points(6)) != generator(temperature=1.0, seed=1)(points(6))
    assert not torch.equal(generator().prefix(points(2)), generator(seed=1).prefix(points(2)))


def test_the_users_model_is_not_changed() -> None:
    network, _ = parts("gpt2")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    generator()(points(3))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.slow
def test_a_saved_model_is_loaded_from_its_folder(tmp_path: Path) -> None:
    network, tokenizer = parts("gpt2")
    network.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    loaded = load_language_model(tmp_path / "model", latent_dim=5, max_new_tokens=7)
    assert loaded(points(4)) == generator()(points(4))
    assert load_generator(f"hf:{tmp_path / 'model'}", max_new_tokens=3).max_new_tokens == 3


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not load as a causal language model with safetensors weights"):
        load_language_model(tmp_path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"max_new_tokens": 62}, r"at most 64 tokens together, .*, got 4 \+ 0 \+ 62 = 66"),
        ({"temperature": -1.0}, "`temperature` must be at least 0"),
        ({"scale": 0.0}, "`scale` above 0"),
        ({"n_prefix": 0}, "`n_prefix` must be a whole number of at least 1"),
        ({"latent_dim": 2.5}, "`latent_dim` must be a whole number"),
    ],
)
def test_bad_options(options: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        generator(**options)


def test_bad_latents() -> None:
    with pytest.raises(InputError, match=r"\(n, latent\) = \(n, 5\), got shape \(3, 4\)"):
        generator()(torch.zeros(3, 4))
    with pytest.raises(NonFiniteError, match="`latents` must be finite"):
        generator()(torch.full((1, 5), float("inf")))
