"""Any causal language model as a generator of texts: a short latent becomes a soft prompt."""

import hashlib
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from likethat._checks import check_count, check_seed, require
from likethat._inputs import Kind
from likethat._options import shown
from likethat._session import in_own_session
from likethat.errors import InputError, ModelError
from likethat.generators.latents import check_latents, in_chunks
from likethat.generators.priors import StandardNormal

_CHUNK = 8  # texts written at a time: all wait for the longest


@in_own_session
class LanguageModel:
    """Writes the text that a language model continues a soft prompt with; latents are N(0, I).

    A latent becomes `n_prefix` vectors in front of the prompt. They lie where the model's own token vectors lie: each
    is their mean plus a fixed random mixture of their main directions, as long as tokens are.

    Args:
        network: a causal language model of transformers; it is put into evaluation mode.
        tokenizer: its own.
        latent_dim: length of a latent.
        n_prefix: vectors of the soft prompt.
        prompt: words behind the soft prompt, the same for all.
        max_new_tokens: of a text, at most.
        temperature: 0 for the most likely token each time; above, tokens are drawn, with random numbers that follow
            from the latent and the seed alone.
        scale: how far the vectors are from the mean; 1 for as far as tokens.
        seed: of the mixtures, and of what is drawn.

    Source:
        Lester, Al-Rfou and Constant, "The power of scale for parameter-efficient prompt tuning", EMNLP 2021, for soft
        prompts; Chen et al., "InstructZero", ICML 2024, for a fixed random map from a short latent to one.

    Differs:
        The map goes through the main directions of the token vectors, so that a latent of N(0, I) gives vectors the
        model has met.
    """

    kind: Kind = "text"
    differentiable = False

    def __init__(
        self,
        network: nn.Module,
        tokenizer: Any,
        *,
        latent_dim: int = 16,
        n_prefix: int = 4,
        prompt: str = "",
        max_new_tokens: int = 32,
        temperature: float = 0.0,
        scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.network, self.tokenizer = network.eval(), tokenizer
        self.prior = StandardNormal(check_count(latent_dim, name="latent_dim"))
        self.n_prefix = check_count(n_prefix, name="n_prefix")
        self.max_new_tokens = check_count(max_new_tokens, name="max_new_tokens")
        if not temperature >= 0 or not scale > 0:
            raise InputError(
                f"`temperature` must be at least 0 and `scale` above 0, got {shown(temperature)} and {shown(scale)}."
            )
        self.temperature, self.seed = float(temperature), check_seed(seed)
        self.card: dict[str, Any] = {"prompt": prompt, "latent_dim": latent_dim, "n_prefix": n_prefix}
        self._embed: nn.Module = network.get_input_embeddings()  # type: ignore[operator]
        self._ends = _end_tokens(network, tokenizer)
        table = self._embed.weight.detach().float().cpu()
        self._mean, self._map = _prefix_map(table, latent_dim, n_prefix, scale=scale, seed=seed)
        self._prompt = self._prompt_tokens(prompt)
        self._check_length()

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self._embed.weight.device  # type: ignore[return-value]

    def to(self, device: str | torch.device) -> "LanguageModel":
        """Move the network; returns self."""
        self.network.to(device)
        return self

    @torch.no_grad()
    def __call__(self, latents: Float[Tensor, "n latent"]) -> list[str]:
        """Return the text of each latent, without the prompt; it does not depend on the others."""
        points = check_latents(latents, self.prior.dim)
        made = in_chunks(lambda part: {"tokens": self._write(part)}, points, size=_CHUNK)["tokens"]
        return [self._text(row) for row in made.tolist()]

    def prefix(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n prefix embedding"]:
        """Return the soft prompt of each latent."""
        return self._mean + torch.einsum("ple,nl->npe", self._map, latents.float().cpu())

    def _prompt_tokens(self, prompt: str) -> Int[Tensor, " token"]:
        numbers = self.tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []
        return torch.tensor(numbers, dtype=torch.long)

    def _check_length(self) -> None:
        config = self.network.config
        most = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
        wanted = self.n_prefix + len(self._prompt) + self.max_new_tokens
        if isinstance(most, int) and wanted > most:
            raise InputError(
                f"`n_prefix`, the prompt and `max_new_tokens` must make at most {most} tokens together, as the model "
                f"takes, got {self.n_prefix} + {len(self._prompt)} + {self.max_new_tokens} = {wanted}."
            )

    def _write(self, latents: Float[Tensor, "n latent"]) -> Int[Tensor, "n token"]:
        """Continue the soft prompts; all rows are equally long, so there is nothing to pad."""
        dtype: torch.dtype = self._embed.weight.dtype  # type: ignore[assignment]
        vectors = self.prefix(latents).to(self.device, dtype)
        if len(self._prompt):
            words = self._embed(self._prompt.to(self.device))
            vectors = torch.cat([vectors, words.expand(len(latents), -1, -1)], dim=1)
        rngs = [self._rng(row) for row in latents] if self.temperature else []
        end = self._ends[0] if self._ends else -1
        made = torch.full((len(latents), self.max_new_tokens), end)
        has_ended = torch.zeros(len(latents), dtype=torch.bool)
        name, memory = _memory_name(self.network), None
        for place in range(self.max_new_tokens):
            output = self.network(inputs_embeds=vectors, use_cache=True, **{name: memory})
            memory = output[name]
            chosen = self._choose(output.logits[:, -1].float().cpu(), rngs)
            made[:, place] = torch.where(has_ended, end, chosen)
            has_ended |= torch.isin(chosen, torch.tensor(self._ends, dtype=torch.long))
            if bool(has_ended.all()):
                break
            vectors = self._embed(chosen.to(self.device))[:, None]
        return made

    def _choose(self, logits: Float[Tensor, "n token"], rngs: Sequence[torch.Generator]) -> Int[Tensor, " n"]:
        if not rngs:
            return logits.argmax(1)
        uniform = torch.stack(
            [torch.rand(logits.shape[1], generator=rng, dtype=torch.float32) for rng in rngs]
        ).clamp_min(1e-20)
        return (logits / self.temperature - (-uniform.log()).log()).argmax(1)  # the Gumbel trick

    def _rng(self, latent: Float[Tensor, " latent"]) -> torch.Generator:
        key = self.seed.to_bytes(8, "little", signed=False)
        digest = hashlib.blake2b(latent.numpy().tobytes(), digest_size=7, key=key).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "little"))

    def _text(self, row: list[int]) -> str:
        stop = next((place for place, number in enumerate(row) if number in self._ends), len(row))
        kept = [number for number in row[:stop] if number >= 0]
        text: str = self.tokenizer.decode(kept, skip_special_tokens=True)
        return text.strip()


def load_language_model(source: str | Path, *, revision: str | None = None, **options: Any) -> LanguageModel:
    """Return a generator of texts from a causal language model, a folder or a name on the hub.

    No code that comes with the model is run, and only safetensors are read.

    Args:
        source: folder, or ``org/name``.
        revision: of a hub model: a branch, a tag or a commit.
        **options: of `LanguageModel`.

    Raises:
        ModelError: it does not load, or is no causal language model.
        MissingExtraError: transformers is not installed.
    """
    return LanguageModel(
        *load_transformer(source, "AutoModelForCausalLM", what="a causal", revision=revision), **options
    )


def load_transformer(source: str | Path, kind: str, *, what: str, revision: str | None) -> tuple[Any, Any]:
    """Return a language model of transformers and its tokenizer; no code that comes with it is run.

    Args:
        source: folder, or ``org/name``.
        kind: the class of transformers that loads it.
        what: such a model in words.
        revision: of a hub model: a branch, a tag or a commit.

    Raises:
        ModelError: it does not load.
        MissingExtraError: transformers is not installed.
    """
    transformers = require("transformers", purpose="a language model")
    where: dict[str, Any] = {"trust_remote_code": False, "revision": revision or "main"}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(source), **where)
        network = getattr(transformers, kind).from_pretrained(str(source), use_safetensors=True, **where)
    except Exception as error:  # transformers raises almost anything for a folder that is not what it expects
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{source} does not load as {what} language model with safetensors weights ({reason})."
        ) from error
    return network, tokenizer


def _prefix_map(
    table: Float[Tensor, "token embedding"], latent_dim: int, n_prefix: int, *, scale: float, seed: int
) -> tuple[Float[Tensor, " embedding"], Float[Tensor, "prefix latent embedding"]]:
    """Return the mean token vector, and the linear map from a latent to the vectors of a soft prompt.

    Each vector is mean + sum_k s_k (A z)_k v_k with the main directions v_k of the token vectors, their spreads s_k,
    and A a random matrix with rows of length 1: for z of N(0, I) each (A z)_k is N(0, 1), as of a random token.
    """
    mean = table.mean(0)
    spread, directions = torch.linalg.eigh((table - mean).T @ (table - mean) / len(table))
    kept = min(table.shape[1], 4 * latent_dim)
    spread, directions = spread[-kept:].clamp_min(0).sqrt(), directions[:, -kept:]
    spread = spread * (table.var(0, correction=0).sum() / (spread**2).sum().clamp_min(1e-20)).sqrt()
    rng = torch.Generator().manual_seed(seed)
    mixtures = nn.functional.normalize(
        torch.randn(n_prefix, kept, latent_dim, generator=rng, dtype=torch.float32), dim=2
    )
    return mean, scale * torch.einsum("pkl,k,ek->ple", mixtures, spread, directions)


def _memory_name(network: nn.Module) -> str:
    """Return what the network calls the keys and values it keeps: transformers renames them from 5.24 to 5.40."""
    return "cache" if "cache" in inspect.signature(network.forward).parameters else "past_key_values"


def _end_tokens(network: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end a text, as the model and its tokenizer say."""
    found = [getattr(network.generation_config, "eos_token_id", None), tokenizer.eos_token_id]
    flat = [number for item in found for number in (item if isinstance(item, list) else [item])]
    return sorted({int(number) for number in flat if number is not None})
