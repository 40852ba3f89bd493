"""Training a generator of table rows."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checkpoint import EVERY
from likethat._checks import require
from likethat._inputs import kind_of
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.base import Prior
from likethat.generators.priors import fit_prior
from likethat.generators.table.coding import Coded, Coding
from likethat.generators.table.dependences import learn_dependences
from likethat.generators.table.files import read_table
from likethat.generators.table.generator import Calibration, TableVAE, build_network
from likethat.generators.table.network import KL_WEIGHT, TableNetwork, row_loss
from likethat.generators.table.schema import learn_columns
from likethat.generators.training import Fitted, TrainingOptions, ended_in_words, fit_network
from likethat.options import TableTraining

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["train_table"]

_ENOUGH = 50  # rows, for a quantile of them
_FEWEST, _WIDTH, _MOST_LATENTS = 16, 192, 48  # rows to learn anything from; units of a layer; latents


@in_own_session(grad=True)
def train_table(
    data: "pd.DataFrame | str | Path",
    told: TableTraining,
    *,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
    watch: Watcher | None = None,
) -> TableVAE:
    """Train a VAE of table rows.

    Args:
        data: a DataFrame without the labels, or a CSV or Parquet file. Numbers, texts, truth values, pandas categories
            and dates; missing values as they are.
        told: how.
        checkpoint: folder to leave unfinished work in; it stays until the generator is saved.
        checkpoint_every: seconds until its first state, and between two.
        resume: go on from `checkpoint`.
        watch: called with a `Progress` as it goes on.

    Raises:
        InputError: fewer than 16 rows, a table in which nothing varies, values of a kind that has no place in a table,
            or a checkpoint of another training.
        NonFiniteError: infinite numbers, or a loss that became NaN.
        MissingExtraError: pandas is not installed.
    """
    clock, seed = Clock(), told.seed
    frame = _as_frame(data, told.dates)
    columns = learn_columns(frame)
    coding = Coding.learn(columns, frame)
    if not (coding.scored or coding.classed or coding.missable):
        raise InputError("the table must have a column that varies, got only constant or missing ones.")
    rows = coding.encode(frame)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(coding, latent_dim=told.latent_dim or _usual_latents(rows, coding), width=_WIDTH)
    place = None if checkpoint is None else Path(checkpoint)
    options = _options(len(rows), told, checkpoint=place, every=checkpoint_every, resume=resume)
    fitted = _fit(network, rows, options, watch=watch)
    prior = fit_prior(_encodings(network, rows, seed=seed), seed=seed)
    generator = TableVAE(
        coding,
        network,
        prior=prior,
        calibration=calibrate(network, prior, rows, seed=seed),
        dependences=learn_dependences(columns, frame),
    )
    generator.usual = _usual_surprise(generator, frame, seed=seed)
    generator.checkpoint = fitted.checkpoint
    generator.card = _card(generator, len(rows), fitted, told, minutes=clock.seconds / 60)
    return generator


def _as_frame(data: Any, dates: list[str] | None) -> "pd.DataFrame":
    require("pandas", purpose="a generator of tables")
    is_file = isinstance(data, str | Path)
    if dates and not is_file:
        raise InputError(
            f"`dates` must be left out for a DataFrame, got {dates}. Give its columns their type yourself."
        )
    frame = read_table(data, dates=dates or ()) if is_file else data
    if kind_of(frame) != "table":
        raise InputError(f"`data` must be a DataFrame, or a CSV or Parquet file, got {type(data).__name__}.")
    if len(frame) < _FEWEST or not len(frame.columns):
        raise InputError(
            f"the table must have at least {_FEWEST} rows and a column to learn from, got {len(frame)} rows and "
            f"{len(frame.columns)} columns."
        )
    return frame.reset_index(drop=True)


def _options(n: int, told: TableTraining, **leaving: Any) -> TrainingOptions:
    batch = min(128, max(8, n // 4))
    per_epoch = max(1, (n - _n_held_out(n)) // batch)
    steps = min(8000, max(1500, 150 * per_epoch))
    if told.epochs is not None:
        steps = told.epochs * per_epoch
    return TrainingOptions(
        steps=steps,
        batch=batch,
        look_every=max(10, min(100, steps // 20)),
        seed=told.seed,
        **leaving,
    )


def _n_held_out(n: int) -> int:
    return min(512, max(2, n // 10))


def _fit(network: TableNetwork, rows: Coded, options: TrainingOptions, *, watch: Watcher | None) -> Fitted:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(options.seed))
    n_held_out = _n_held_out(len(rows))
    held_out, learned = rows.take(order[:n_held_out]), rows.take(order[n_held_out:])

    def loss(batch: Tensor, share: float, rng: torch.Generator) -> Tensor:
        part = learned.take(batch)
        weight = KL_WEIGHT * min(1.0, share / 0.2)
        return _elbo(network, part, seen=_hidden(part, network, rng), weight=weight, rng=rng)

    def held_out_loss() -> float:
        rng = torch.Generator().manual_seed(0)
        return float(_elbo(network, held_out, seen=held_out, weight=KL_WEIGHT, rng=rng))

    key = {"family": "table-vae", "data": _digest(rows), "latent_dim": network.latent_dim}
    return fit_network(
        network, loss, held_out=held_out_loss, n_rows=len(learned), options=options, key=key, watch=watch
    )


def _elbo(network: TableNetwork, rows: Coded, *, seen: Coded, weight: float, rng: torch.Generator) -> Tensor:
    """Return the loss of rows of which the encoder sees a part."""
    mean, log_variance = network.encode(seen)
    latents = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng, dtype=torch.float32)
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
    return (row_loss(network, rows, latents) + weight * divergence).mean()


def _hidden(rows: Coded, network: TableNetwork, rng: torch.Generator) -> Coded:
    """Hide a tenth of the values of a third of the rows from the encoder, so that "unknown" means something."""
    share = 0.1 * (torch.rand(len(rows), 1, generator=rng, dtype=torch.float32) < 1 / 3)
    no_score = torch.rand(rows.scores.shape, generator=rng, dtype=torch.float32) < share
    no_class = torch.rand(rows.classes.shape, generator=rng, dtype=torch.float32) < share
    unknown = torch.tensor(network.n_classes, dtype=torch.long)
    return Coded(
        scores=rows.scores.masked_fill(no_score, float("nan")),
        classes=torch.where(no_class, unknown, rows.classes),
        bits=rows.bits,
    )


def _usual_surprise(generator: TableVAE, frame: "pd.DataFrame", *, seed: int) -> tuple[float, ...]:
    """Return how surprising real rows are: of the rows that were held out, where those are enough."""
    order = torch.randperm(len(frame), generator=torch.Generator().manual_seed(seed))
    n = _n_held_out(len(frame))
    some = frame.iloc[order[: n if n >= _ENOUGH else 10 * _ENOUGH].tolist()]
    levels = torch.linspace(0, 1, 101, dtype=torch.float64)
    return tuple(generator.surprise(some.reset_index(drop=True)).double().quantile(levels).tolist())


def _usual_latents(rows: Coded, coding: Coding) -> int:
    """Return how many directions hold 98 % of what varies in scores and classes."""
    parts = [torch.nan_to_num(rows.scores), 2 * rows.bits]
    for place, n in enumerate(coding.n_classes):
        parts.append(1.4 * torch.nn.functional.one_hot(rows.classes[:, place], n + 1)[:, : min(n, 32)].float())
    values = torch.cat(parts, dim=1)
    variances = torch.linalg.svdvals((values - values.mean(0))[:5000]) ** 2
    share = variances.cumsum(0) / variances.sum().clamp_min(1e-12)
    return min(_MOST_LATENTS, max(2, int((share < 0.98).sum()) + 1))


@torch.no_grad()
def _encodings(network: TableNetwork, rows: Coded, *, seed: int) -> Float[Tensor, "n latent"]:
    """Return a draw from the posterior of each row: together, where typical latents lie."""
    mean, log_variance = network.encode(rows)
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float32)
    return mean + (log_variance / 2).exp() * noise


@torch.no_grad()
def calibrate(network: TableNetwork, prior: Prior, rows: Coded, *, seed: int, n: int = 8192) -> Calibration:
    """Match the rows of the prior to the data, column by column.

    Args:
        network: fitted.
        prior: of its latents.
        rows: the data.
        seed: of the latents.
        n: how many latents to draw.
    """
    output = network.decode(prior.sample(n, rng=torch.Generator().manual_seed(seed + 2)))
    share_missing = rows.bits.double().mean(0)
    thresholds = torch.stack(
        [output.bits[:, place].double().quantile(1 - share) for place, share in enumerate(share_missing)]
        or [torch.zeros((), dtype=torch.float32)]
    )[: len(share_missing)]
    scores, levels = output.scores.double(), torch.linspace(0, 1, 513, dtype=torch.float64)
    quantiles = scores.quantile(levels, dim=0).T if scores.shape[1] else scores.new_zeros(0, len(levels))
    offsets = [
        _offsets(logits.double(), torch.bincount(classes, minlength=logits.shape[1] + 1)[:-1].double())
        for logits, classes in zip(output.logits.split(network.n_classes, dim=1), rows.classes.T, strict=True)
    ]
    return Calibration(
        quantiles=quantiles.contiguous(),
        offsets=torch.cat(offsets).float() if offsets else torch.zeros(0, dtype=torch.float32),
        thresholds=thresholds.float(),
    )


def _offsets(logits: Float[Tensor, "n cls"], counts: Float[Tensor, " cls"]) -> Float[Tensor, " cls"]:
    """Return what to add to logits so that each class is the largest as often as it was in the data."""
    wanted = counts / counts.sum()
    offsets = torch.zeros_like(wanted)
    for number in range(200):
        found = torch.bincount((logits + offsets).argmax(1), minlength=len(wanted)) / len(logits)
        step = 1.0 / (1 + number / 20)
        offsets += step * ((wanted + 1e-3).log() - (found + 1e-3).log())
    return offsets


def _digest(rows: Coded) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for tensor in vars(rows).values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def _card(generator: TableVAE, n: int, fitted: Fitted, told: TableTraining, *, minutes: float) -> dict[str, Any]:
    notes = [f"{column.name} is always missing" for column in generator.columns if column.kind == "missing"]
    notes += [f"{column.name} is constant" for column in generator.columns if column.kind == "constant"]
    notes += [
        f"{column.name} is an identifier (no value comes twice): it is left out, and no counterfactual changes it"
        for column in generator.columns
        if column.is_identifier
    ]
    return {
        "kind": "table",
        "rows": n,
        "columns": {str(column.name): column.describe() for column in generator.columns},
        "notes": notes,
        "dependences": [each.describe(generator.scales) for each in generator.dependences],
        "latent_dim": generator.prior.dim,
        "held_out_loss": round(fitted.loss, 4),
        "steps": fitted.steps,
        **ended_in_words(fitted.status(more="epochs")),
        "options": told.options(),
        "seed": told.seed,
        "minutes": round(minutes, 1),
        "torch": torch.__version__,
    }
