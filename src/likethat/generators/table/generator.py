"""A VAE of tables: from a latent to a row whose every column is valid, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from likethat._calls import public
from likethat._inputs import Inputs, Kind, kind_of
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.latents import check_latents, in_chunks, under
from likethat.generators.priors import prior_from_state
from likethat.generators.storage import TrainedGenerator, filled
from likethat.generators.table.coding import Coded, Coding
from likethat.generators.table.columns import Column
from likethat.generators.table.dependences import Dependence, repaired
from likethat.generators.table.network import KL_WEIGHT, TableNetwork, TableOutput, row_loss
from likethat.generators.table.scale import Scale
from likethat.search.base import Prior


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibration:
    """What makes each column of the rows from the prior as frequent as it was in the data.

    Attributes:
        quantiles: of each score over the prior, evenly spread, rising.
        offsets: added to the logits of the classes.
        thresholds: of the logits of being missing.
    """

    quantiles: Float[Tensor, "score quantile"]
    offsets: Float[Tensor, " cls"]
    thresholds: Float[Tensor, " bit"]

    def levels(self, scores: Float[Tensor, "n score"]) -> Float[Tensor, "n score"]:
        """Return the share of the prior's scores below each score, in [0, 1]."""
        found = torch.searchsorted(self.quantiles, scores.double().T.contiguous()).clamp(1, self.quantiles.shape[1] - 1)
        low, high = self.quantiles.gather(1, found - 1), self.quantiles.gather(1, found)
        part = ((scores.double().T - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        return ((found - 1 + part) / (self.quantiles.shape[1] - 1)).T

    def classes(self, logits: Float[Tensor, "n cls"], n_classes: Sequence[int]) -> Int[Tensor, "n category"]:
        """Return the class of each category."""
        parts = (logits + self.offsets).split(list(n_classes), dim=1)
        if not n_classes:
            return torch.zeros(len(logits), 0, dtype=torch.long, device=logits.device)
        return torch.stack([part.argmax(1) for part in parts], 1)

    def is_missing(self, bits: Float[Tensor, "n bit"]) -> Bool[Tensor, "n bit"]:
        """Return where a value is missing."""
        return bits > self.thresholds


@public
@in_own_session
class TableVAE(TrainedGenerator):
    """Decodes latents to rows of a table.

    Numbers lie in the range they had, whole numbers are whole, categories are ones that existed, only columns that had
    missing values miss some, and names, order and dtypes are the table's own: whatever the latent is.

    Args:
        coding: between a table and what the network sees.
        network: row to latent, latent to row.
        prior: of the latents: the aggregate posterior of the training rows, as a mixture.
        calibration: of the rows it makes.
        dependences: what always holds between the columns of the table, and of every row that is made.
        usual: how surprising real rows are (`surprise`): evenly spread quantiles, rising; empty where nobody knows.

    Source:
        Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014, for the network; normal scores after Patki,
        Wedge and Veeramachaneni, "The synthetic data vault", DSAA 2016.

    Differs:
        A row is the most likely one of its latent, not a draw. Quantiles and class frequencies over the prior are
        therefore matched to the data's afterwards (`Calibration`): most likely values alone are never the rare ones.
    """

    family = "table-vae"
    kind: Kind = "table"
    differentiable = False

    def __init__(
        self,
        coding: Coding,
        network: TableNetwork,
        *,
        prior: Prior,
        calibration: Calibration,
        dependences: Sequence[Dependence] = (),
        usual: Sequence[float] = (),
    ) -> None:
        self.coding = coding
        self.network = network.eval().requires_grad_(False)
        self.prior = prior
        self.calibration = calibration
        self.dependences, self.usual = tuple(dependences), tuple(usual)
        self.scales = {column.name: Scale(column) for column in coding.columns}
        self.card: dict[str, Any] = {}

    @property
    def columns(self) -> tuple[Column, ...]:
        """What each column is, and what is valid in it."""
        return self.coding.columns

    @torch.no_grad()
    def __call__(self, latents: Float[Tensor, "n latent"]) -> Any:
        """Return a DataFrame with one row a latent; the row does not depend on the others."""
        output = TableOutput(
            **in_chunks(lambda part: vars(self.network.decode(part)), check_latents(latents, self.prior.dim))
        )
        fixed = self.calibration
        made = self.coding.decode(
            fixed.levels(output.scores),
            fixed.classes(output.logits, self.coding.n_classes),
            fixed.is_missing(output.bits),
        )
        return self._held_together(made)

    def _held_together(self, frame: Any) -> Any:
        """Return rows in which what a column says of another holds."""
        names = list(dict.fromkeys(name for each in self.dependences for name in (each.first, each.second)))
        if not names:
            return frame
        numbers = dict(zip(self.scales, self.coding.whole.numbers(frame).T, strict=True))
        before = {name: self.scales[name].positions_of(numbers[name], np.isnan(numbers[name])) for name in names}
        after = repaired(self.dependences, self.scales, before, free=names)
        changed = [name for name in names if not np.array_equal(before[name], after[name], equal_nan=True)]
        for name in changed:
            frame[name] = self.scales[name].values(after[name])
        return frame

    @torch.no_grad()
    def surprise(self, inputs: Inputs) -> Float[Tensor, " n"]:
        """Return how unlikely each row is, in nats: by what the generator was trained to make small.

        Only differences mean something, and where among real rows it lies (`usual`).

        Raises:
            InputError: no table, or not with the columns that were learned.
        """
        if kind_of(inputs) != "table":
            raise InputError(f"`inputs` must be a DataFrame, got {type(inputs).__name__}.")
        return self._surprise(self.coding.encode(inputs))

    @torch.no_grad()
    def surprise_at(
        self, numbers: Float[np.ndarray, "n column"], gone: Bool[np.ndarray, "n column"]
    ) -> Float[Tensor, " n"]:
        """Return `surprise` of rows by their numbers (`Column.to_numbers`), and where values are missing."""
        return self._surprise(self.coding.coded(numbers, gone[:, self.coding.missable]))

    def _surprise(self, rows: Coded) -> Float[Tensor, " n"]:
        def chunk(part: Tensor) -> dict[str, Tensor]:
            some = _padded(rows, part)
            latents = self.network.encode(some)[0]
            return {"nats": row_loss(self.network, some, latents) - KL_WEIGHT * self.prior.log_prob(latents)}

        return in_chunks(chunk, torch.arange(len(rows)))["nats"]

    @torch.no_grad()
    def encode(self, inputs: Inputs) -> Float[Tensor, "n latent"]:
        """Return the mean of the latent of each row; a category never seen counts as unknown.

        Raises:
            InputError: no table, or not with the columns that were learned.
        """
        if kind_of(inputs) != "table":
            raise InputError(f"`inputs` must be a DataFrame, got {type(inputs).__name__}.")
        return self._encoded(self.coding.encode(inputs))

    def _encoded(self, rows: Coded) -> Float[Tensor, "n latent"]:
        places = torch.arange(len(rows))
        return in_chunks(lambda part: {"mean": self.network.encode(_padded(rows, part))[0]}, places)["mean"]

    def config(self) -> dict[str, Any]:
        """Return the columns and the sizes of the network."""
        return {
            "columns": [column.as_json() for column in self.columns],
            "latent_dim": self.prior.dim,
            "width": self.network.encoder[0].out_features,
            "dependences": [each.as_json() for each in self.dependences],
            "usual": list(self.usual),
        }

    def state(self) -> dict[str, Tensor]:
        """Return all weights, the quantiles of the columns, and the prior."""
        return {
            **{f"network.{key}": value for key, value in self.network.state_dict().items()},
            **{f"coding.{key}": value for key, value in self.coding.state().items()},
            **{f"calibration.{key}": value for key, value in vars(self.calibration).items()},
            **{f"prior.{key}": value for key, value in self.prior.state().items()},  # type: ignore[attr-defined]
        }

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "TableVAE":
        """Build it again from what `save` wrote."""
        columns = [Column.from_json(values) for values in config["columns"]]
        coding = Coding.from_state(columns, under("coding.", tensors))
        sizes = {"latent_dim": config["latent_dim"], "width": config["width"]}
        network = filled(lambda: build_network(coding, **sizes), under("network.", tensors))
        calibration = Calibration(**under("calibration.", tensors))
        return cls(
            coding,
            network,
            prior=prior_from_state(under("prior.", tensors)),
            calibration=calibration,
            dependences=[Dependence.from_json(values) for values in config.get("dependences", [])],
            usual=config.get("usual", []),
        )


def build_network(coding: Coding, *, latent_dim: int, width: int) -> TableNetwork:
    """Return a fresh network for a coding."""
    return TableNetwork(
        n_scores=len(coding.scored),
        n_classes=coding.n_classes,
        n_bits=len(coding.missable),
        latent_dim=latent_dim,
        width=width,
    )


def _padded(rows: Coded, places: Tensor) -> Coded:
    """Return rows by place; the padding repeats the first."""
    if not len(rows):
        n = len(places)
        return Coded(
            scores=rows.scores.new_zeros(n, rows.scores.shape[1]),
            classes=rows.classes.new_zeros(n, rows.classes.shape[1]),
            bits=rows.bits.new_zeros(n, rows.bits.shape[1]),
        )
    return rows.take(places)
