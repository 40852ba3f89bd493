"""Training a generator of texts."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._checkpoint import EVERY
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat.generators.comparing import FEWEST, quality_of
from likethat.generators.priors import fit_prior
from likethat.generators.text.files import as_texts
from likethat.generators.text.generator import TextVAE
from likethat.generators.text.measuring import compared_texts
from likethat.generators.text.network import TextNetwork, text_loss
from likethat.generators.text.reconstruction import status_of, words_kept
from likethat.generators.text.tokens import PAD, Tokens
from likethat.generators.training import Fitted, TrainingOptions, ended_in_words, fit_network
from likethat.options import TextTraining

_WIDTH = 160  # units of a layer: a CPU trains it in minutes
_HIDDEN = 0.1  # share of the tokens hidden from the decoder, so that it needs the latent
_KL_WEIGHT = 0.18
"""Less, and more texts come back from their latents; more, and more latents say something that goes together."""


@in_own_session(grad=True)
def train_text(
    data: Sequence[str] | str | Path,
    told: TextTraining,
    *,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
    watch: Watcher | None = None,
) -> TextVAE:
    """Train a VAE of texts, of any script.

    Args:
        data: texts, or a file with one text a line.
        told: how.
        checkpoint: folder to leave unfinished work in; it stays until the generator is saved.
        checkpoint_every: seconds until its first state, and between two.
        resume: go on from `checkpoint`.
        watch: called with a `Progress` as it goes on.

    Raises:
        InputError: fewer than 16 texts, always the same one, a file that is none, or a checkpoint of another training.
        NonFiniteError: the loss became NaN.
    """
    clock, seed = Clock(), told.seed
    texts = as_texts(data)
    tokens = Tokens.learn(texts, max_tokens=told.max_tokens)
    rows = tokens.encode(texts)
    n_cut = sum(len(tokens.numbers(text)) >= tokens.length for text in texts)
    latent_dim = told.latent_dim or min(32, max(4, len(texts) // 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TextNetwork(n_tokens=len(tokens), latent_dim=latent_dim, length=tokens.length, width=_WIDTH)
    place = None if checkpoint is None else Path(checkpoint)
    options = _options(len(rows), told, checkpoint=place, every=checkpoint_every, resume=resume)
    fitted = _fit(network, rows, options, watch=watch)
    order, n_held_out = _order(len(texts), seed=seed), _n_held_out(len(texts))
    first = n_held_out if n_held_out >= FEWEST else 0  # too few to measure on: the prior is of all
    generator = TextVAE(
        tokens, network, prior=fit_prior(_encodings(network, rows[order[first:]], seed=seed), seed=seed)
    )
    generator.checkpoint = fitted.checkpoint
    generator.card = _card(generator, len(rows), fitted, told)
    generator.card["cut"] = n_cut
    held_out, learned = ([texts[row] for row in some.tolist()] for some in order.tensor_split([n_held_out]))
    generator.card["words_kept"] = kept = round(words_kept(generator, held_out), 3)
    generator.card |= ended_in_words(status_of(kept, fitted.status(more="epochs")))
    quality = quality_of(
        "text",
        n_held_out,
        len(texts),
        lambda: compared_texts(generator, held_out, learned, seed=seed),
        notes=("Which words there are was learned from all texts.",),
        watch=watch,
    )
    generator.card["quality"] = quality.to_dict()
    generator.card["minutes"] = round(clock.seconds / 60, 1)
    return generator


def _options(n: int, told: TextTraining, **leaving: Any) -> TrainingOptions:
    batch = min(64, max(8, n // 4))
    per_epoch = max(1, (n - _n_held_out(n)) // batch)
    steps = min(6000, max(800, 36 * per_epoch))
    if told.epochs is not None:
        steps = told.epochs * per_epoch
    return TrainingOptions(
        steps=steps,
        batch=batch,
        learning_rate=3e-3,
        look_every=max(10, min(100, steps // 20)),
        seed=told.seed,
        **leaving,
    )


def _order(n: int, *, seed: int) -> Int[Tensor, " n"]:
    """Return the texts in the order in which the first are held out."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _n_held_out(n: int) -> int:
    return min(256, max(2, n // 10))


def _fit(network: TextNetwork, rows: Tensor, options: TrainingOptions, *, watch: Watcher | None) -> Fitted:
    order = _order(len(rows), seed=options.seed)
    held_out, learned = rows[order[: _n_held_out(len(rows))]], rows[order[_n_held_out(len(rows)) :]]
    n_tokens = float((rows != PAD).sum(1).double().mean())

    def loss(batch: Tensor, share: float, rng: torch.Generator) -> Tensor:
        weight = _KL_WEIGHT * min(1.0, share / 0.3)
        return _elbo(network, learned[batch], weight=weight, rng=rng) / n_tokens

    def held_out_loss() -> float:
        return float(_elbo(network, held_out, weight=_KL_WEIGHT, rng=torch.Generator().manual_seed(0))) / n_tokens

    digest = hashlib.blake2b(rows.numpy().tobytes(), digest_size=8).hexdigest()
    key = {"family": "text-vae", "data": digest, "latent_dim": network.latent_dim}
    return fit_network(
        network, loss, held_out=held_out_loss, n_rows=len(learned), options=options, key=key, watch=watch
    )


def _elbo(network: TextNetwork, tokens: Int[Tensor, "n token"], *, weight: float, rng: torch.Generator) -> Tensor:
    tokens = tokens[:, : int((tokens != PAD).sum(1).max())]
    mean, log_variance = network.encode(tokens)
    latents = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng, dtype=torch.float32)
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    return (text_loss(network, tokens, latents, hidden=_HIDDEN, rng=rng) + weight * divergence).mean()


@torch.no_grad()
def _encodings(network: TextNetwork, rows: Int[Tensor, "n token"], *, seed: int) -> Float[Tensor, "n latent"]:
    """Return a draw from the posterior of each text: together, where typical latents lie."""
    rng = torch.Generator().manual_seed(seed + 1)
    drawn = []
    for part in rows.split(256):
        mean, log_variance = network.encode(part)
        drawn.append(mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng, dtype=torch.float32))
    return torch.cat(drawn)


def _card(generator: TextVAE, n: int, fitted: Fitted, told: TextTraining) -> dict[str, Any]:
    return {
        "kind": "text",
        "texts": n,
        "words_and_characters": len(generator.tokens.pieces),
        "longest": generator.tokens.length - 1,
        "latent_dim": generator.prior.dim,
        "held_out_loss": round(fitted.loss, 4),
        "steps": fitted.steps,
        "options": told.options(),
        "seed": told.seed,
        "torch": torch.__version__,
    }
