"""Training a generator of table rows."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat._checkpoint import EVERY
from likethat._checks import require
from likethat._inputs import kind_of
from likethat._progress import Clock, Progress, Stage, Watcher
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.comparing import FEWEST
from likethat.generators.priors import fit_prior
from likethat.generators.quality import Compared, Quality, averaged, unmeasured
from likethat.generators.table.coding import Coded, Coding
from likethat.generators.table.columns import Column
from likethat.generators.table.dependences import learn_dependences
from likethat.generators.table.files import read_table
from likethat.generators.table.generator import Calibration, TableVAE, build_network
from likethat.generators.table.measuring import compared_rows, made_rows
from likethat.generators.table.network import KL_WEIGHT, TableNetwork, row_loss
from likethat.generators.table.schema import learn_columns
from likethat.generators.training import Fitted, TrainingOptions, ended_in_words, fit_network
from likethat.options import TableTraining
from likethat.search.base import Prior

if TYPE_CHECKING:
    import pandas as pd

_ENOUGH = 50  # rows, for a quantile of them
_FEWEST, _WIDTH, _MOST_LATENTS = 16, 192, 48  # rows to learn anything from; units of a layer; latents
_KEPT_BACK, _MOST_KEPT_BACK = 0.1, 1000  # of the rows, to measure on: 1,000 tell an AUC to .025
_ENOUGH_TO_SPARE = 2000  # rows: a tenth of fewer tells too little, and small tables are learned quickly
_FOLDS = 4  # trainings in seconds each; every row of a small table is measured on
_NOTES = (
    "Real: the rows kept back against as many that were learned from; copies, nearest and broken are of the rows kept "
    "back themselves.",
    "Ranges and categories, what is valid in a column, are those of all rows.",
)


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
    clock = Clock()
    frame = _as_frame(data, told.dates)
    columns = _columns(frame, watch)
    kept_back = _kept_back(len(frame), told)
    learned, unseen = frame[~kept_back].reset_index(drop=True), frame[kept_back].reset_index(drop=True)
    place = None if checkpoint is None else Path(checkpoint)
    leaving = {"checkpoint": place, "every": checkpoint_every, "resume": resume}
    generator, fitted = _learned_from(learned, columns, told, leaving=leaving, watch=watch)
    generator.checkpoint = fitted.checkpoint
    generator.card = _card(generator, len(frame), fitted, told)
    if told.quality:
        generator.card["quality"] = _quality(generator, learned, unseen, frame, told, watch).to_dict()
    generator.card["minutes"] = round(clock.seconds / 60, 1)
    return generator


def _quality(
    generator: TableVAE,
    learned: "pd.DataFrame",
    unseen: "pd.DataFrame",
    frame: "pd.DataFrame",
    told: TableTraining,
    watch: Watcher | None,
) -> Quality:
    """Measure a generator on rows that it, or others trained in its way, did not learn from."""
    n = len(frame)
    if not len(unseen) and not told.folds and n >= _FOLDS * FEWEST:
        return unmeasured("table", f"{n:,} rows are too few to spare some; folds=True (--folds) trains four times more")
    parts = [(generator, learned, unseen)] if len(unseen) else _folds(frame, generator.columns, told, watch)
    return _measured(parts, n=n, seed=told.seed, watch=watch)


def _columns(frame: "pd.DataFrame", watch: Watcher | None) -> tuple[Column, ...]:
    """Return what the columns are: of all rows, for what is valid is no secret of those kept back."""
    stage = Stage("reading columns", watch, total=len(frame.columns))
    stage(0)
    return learn_columns(frame, each=stage.add)


def _kept_back(n: int, told: TableTraining) -> Bool[np.ndarray, " n"]:
    """Return which rows nothing is learned from; none where they are too few to spare, and folds measure instead."""
    is_kept = np.zeros(n, dtype=bool)
    if told.quality and n >= _ENOUGH_TO_SPARE:
        order = np.random.default_rng(told.seed).permutation(n)
        is_kept[order[: min(_MOST_KEPT_BACK, int(_KEPT_BACK * n))]] = True
    return is_kept


def _learned_from(
    frame: "pd.DataFrame",
    columns: Sequence[Column],
    told: TableTraining,
    *,
    leaving: Mapping[str, Any],
    watch: Watcher | None,
) -> tuple[TableVAE, Fitted]:
    """Return a generator of some rows, which alone it learns from, and how its training went."""
    seed = told.seed
    stage = Stage("encoding columns", watch, total=len(columns))
    coding = Coding.learn(columns, frame)
    if not (coding.scored or coding.classed or coding.missable):
        raise InputError("the table must have a column that varies, got only constant or missing ones.")
    rows = coding.encode(frame, each=stage.add)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(coding, latent_dim=told.latent_dim or _usual_latents(rows, coding), width=_WIDTH)
    fitted = _fit(network, rows, _options(len(rows), told, **leaving), watch=watch)
    prior = fit_prior(_encodings(network, rows, seed=seed), seed=seed)
    generator = TableVAE(
        coding,
        network,
        prior=prior,
        calibration=calibrate(network, prior, rows, seed=seed),
        dependences=learn_dependences(columns, frame),
    )
    generator.usual = _usual_surprise(generator, frame, seed=seed)
    return generator, fitted


def _folds(
    frame: "pd.DataFrame", columns: Sequence[Column], told: TableTraining, watch: Watcher | None
) -> Iterator[tuple[TableVAE, "pd.DataFrame", "pd.DataFrame"]]:
    """Train a generator without each part of a small table; nothing of it is kept but what it says of quality."""
    if len(frame) < _FOLDS * FEWEST:
        return
    fold_of = np.random.default_rng(told.seed).permutation(len(frame)) % _FOLDS
    for fold in range(_FOLDS):
        told_of = None if watch is None else partial(_renamed, watch, f"measuring: training {fold + 1} of {_FOLDS}")
        learned, unseen = (frame[rows].reset_index(drop=True) for rows in (fold_of != fold, fold_of == fold))
        yield _learned_from(learned, columns, told, leaving={}, watch=told_of)[0], learned, unseen


def _renamed(watch: Watcher, stage: str, report: Progress) -> None:
    if report.stage == "training":
        watch(replace(report, stage=stage))


def _measured(
    parts: Iterable[tuple[TableVAE, "pd.DataFrame", "pd.DataFrame"]], *, n: int, seed: int, watch: Watcher | None
) -> Quality:
    """Measure generators, each on the rows that it did not learn from."""
    found: list[tuple[Compared, ...]] = []
    n_kept_back = 0
    stage = Stage("measuring", watch)
    for generator, learned, unseen in parts:
        stage(len(found))
        made = made_rows(generator, len(unseen), seed=seed)
        columns, dependences = generator.columns, generator.dependences
        found.append(compared_rows(made, unseen, learned, columns=columns, dependences=dependences, seed=seed))
        n_kept_back += len(unseen)
    if not found:
        return unmeasured("table", f"{n} rows are too few, {_FOLDS * FEWEST} are needed")
    stage(len(found))
    return Quality(kind="table", n_kept_back=n_kept_back, n=n, folds=len(found), compared=averaged(found), notes=_NOTES)


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


def _card(generator: TableVAE, n: int, fitted: Fitted, told: TableTraining) -> dict[str, Any]:
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
        "torch": torch.__version__,
    }
