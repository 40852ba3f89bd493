"""EPIC's two solvers: alternate between choosing prototypes and turning the channels towards them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._checkpoint import Checkpoint
from likethat._documents import going_on_from, typed
from likethat._progress import Stage, Watcher
from likethat._vectors import rows_of
from likethat.features import Features, mean_unit_patches, read_peaks
from likethat.functional import polar_factor, purity, rotation_from, whitening
from likethat.search import top_rows, varying_units

_INERTIA = 1e-5
"""Weight of the earlier rotation beside the patches; decides only where their matrix has no rank."""
_ALIKE = 1e-3
"""Spread of the log of use below which channels are used alike: rounding alone spreads it by less."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How many prototypes a channel are looked at in each round: `first` falling linearly to `last`."""

    first: int
    last: int
    rounds: int

    def for_images(self, n_images: int) -> "Schedule":
        """Return the same schedule with no more prototypes than a third of the images, and at least one."""
        most = max(1, n_images // 3)
        return Schedule(first=min(self.first, most), last=min(self.last, most), rounds=self.rounds)

    def counts(self) -> list[int]:
        """Return the number of prototypes of each round.

        Example:
            >>> Schedule(first=100, last=14, rounds=3).counts()
            [100, 57, 14]
        """
        steps = max(self.rounds - 1, 1)
        return [round(self.first + (self.last - self.first) * step / steps) for step in range(self.rounds)]


PAPER_SCHEDULE = Schedule(first=100, last=5, rounds=10)
"""EPIC's, from the paper; the release stops at 14."""


def fit_procrustes(
    features: Features,
    schedule: Schedule,
    *,
    among: Int[Tensor, " map"] | None = None,
    shrinkage: float = 0.0,
    condition: float = 1.0,
    head_weight: Float[Tensor, "class channel"] | None = None,
    usage_weight: float = 0.0,
    precision: torch.dtype = torch.float64,
    watch: Watcher | None = None,
) -> Float[Tensor, "channel channel"]:
    """Alternate: choose each channel's prototypes; take the rotation of highest mean purity for them.

    For orthogonal U the mean purity of a fixed selection is ``(1/D) sum_k <u_k, m_k>`` with m_k the mean unit patch of
    channel k, and the polar factor of M maximises it.

    Args:
        features: cached maps and means.
        schedule: prototypes a channel in each round.
        among: which of the held maps take part; all when left out.
        shrinkage: lambda of the polar factor of M + lambda I, M's rows being mean unit patches: 0 for the patches
            alone, without end for the network's own channels. What few patches say of many channels is mostly noise.
        condition: of a whitening before the rotation; 1 for none.
        head_weight: needed for `usage_weight`.
        usage_weight: exponent on each channel's use, as a weight on its row of M (`_usage`).
        precision: of the polar factors: float32 takes half the time, and is enough to compare shrinkages.
        watch: called after every round.

    Returns:
        The mixing: rotation times whitening.
    """
    slots = torch.arange(len(features.kept)) if among is None else among
    means = rows_of(features.means, features.kept[slots])
    basis = whitening(_second_moment(features.maps, slots), condition=condition) if condition > 1 else None
    own = torch.eye(features.n_channels, dtype=torch.float32)
    rotation = own
    mixing = rotation if basis is None else basis
    counts = schedule.counts()
    stage = Stage("turning the channels", watch, total=len(counts))
    for step, count in enumerate(counts):
        rows, _ = top_rows(means, mixing, count)
        cells = read_peaks(features.maps, slots[rows], mixing).cells
        patches = mean_unit_patches(features.maps, slots[rows], cells, basis=basis)
        patches[~varying_units(means, mixing)] = 0  # a dead channel chooses nothing, and stays dead
        if head_weight is not None and usage_weight > 0:
            # A rotation's inverse is its transpose: no system to solve.
            mixed = head_weight @ mixing.T if basis is None else torch.linalg.solve(mixing.T, head_weight.T).T
            use = _usage(means, features.predicted[features.kept[slots]], mixing, mixed)
            patches = patches * use.pow(usage_weight)[:, None]
        # Where the patches say nothing (a direction none of them has), the channels stay as they were.
        inertia = _INERTIA * patches.square().mean().sqrt() * rotation
        rotation = polar_factor(patches + shrinkage * own + inertia, precision=precision)
        mixing = rotation if basis is None else rotation @ basis
        stage(step + 1)
    return mixing


def _second_moment(maps: Tensor, slots: Tensor, *, block: int = 64) -> Tensor:
    """Return E[z z^T] over the cells of some held maps."""
    total = torch.zeros(maps.shape[1], maps.shape[1], dtype=torch.float64)
    for part in slots.split(block):
        cells = maps[part].transpose(0, 1).flatten(1)
        total += (cells @ cells.T).double()
    return (total / (len(slots) * maps.shape[2])).float()


def _usage(means: Tensor, predicted: Tensor, mixing: Tensor, mixed_head: Tensor) -> Tensor:
    """Return each channel's use: its mean absolute contribution to the predicted class, in standard scores of its log.

    The more channels and classes a network has, the more alike the channels are used (the log varies by .8 over 64
    channels of ten classes, by .26 over 1,280 of a thousand): as they are, they would weigh nothing there.
    """
    use = ((means @ mixing.T).abs() * mixed_head.abs()[predicted]).mean(0)
    logs = use.clamp_min(1e-6 * float(use.max()) + torch.finfo(use.dtype).tiny).log()  # a dead channel is no outlier
    return ((logs - logs.mean()) / logs.std(correction=0).clamp_min(_ALIKE)).exp()


@dataclass(frozen=True, kw_only=True)
class AdamSolver:
    """The paper's solver on cached features: gradient ascent on purity through the matrix exponential.

    Source:
        Borycki et al. (2026), EPIC: 20 epochs, prototypes anew every 2, N from 100 to 5, Adam at 1e-3 with weight
        decay 1e-5, batches of 512; orthogonal U = expm(R - R^T), general U = expm(R), R = 0 at the start.

    Differs:
        Steps on cached peak vectors instead of forwarding the images again; the peak cell is found when prototypes are
        chosen, not at every step. The released schedule stops at N = 14, the paper's at 5.
    """

    orthogonal: bool
    epochs: int
    learning_rate: float
    weight_decay: float
    batch: int
    seed: int

    def fit(
        self,
        features: Features,
        schedule: Schedule,
        *,
        among: Int[Tensor, " map"] | None = None,
        checkpoint: Checkpoint | None = None,
        watch: Watcher | None = None,
    ) -> Float[Tensor, "channel channel"]:
        """Run all epochs, or those that a checkpoint has not seen, on the held maps or some among them."""
        slots = torch.arange(len(features.kept)) if among is None else among
        exponent = torch.zeros(features.n_channels, features.n_channels, requires_grad=True, dtype=torch.float32)
        optimizer = torch.optim.Adam([exponent], lr=self.learning_rate, weight_decay=self.weight_decay)
        epoch, chosen = 0, None
        if checkpoint and (state := checkpoint.read_state("adam")):
            with going_on_from(checkpoint.folder):
                epoch, chosen = self._load(state[0], typed(state[1]["epoch"], int), exponent, optimizer)
        counts = schedule.counts()
        told = Stage("turning the channels (Adam)", watch, total=self.epochs, done=epoch)
        while epoch < self.epochs:
            stage = epoch * len(counts) // self.epochs
            is_new_stage = epoch == 0 or stage != (epoch - 1) * len(counts) // self.epochs
            if is_new_stage or chosen is None:
                chosen = self._choose(features, slots, exponent, counts[stage])
            self._epoch(features, chosen, exponent, optimizer, epoch)
            epoch += 1
            if checkpoint and (checkpoint.is_due() or epoch == self.epochs):
                self._leave(checkpoint, epoch, chosen, exponent, optimizer)
            told(epoch)
        return self._mixing(exponent).detach()

    def _mixing(self, exponent: Tensor) -> Tensor:
        return rotation_from(exponent, orthogonal=self.orthogonal)

    def _choose(self, features: Features, slots: Tensor, exponent: Tensor, count: int) -> Int[Tensor, "pair 3"]:
        """Return (channel, row of the maps, cell) of every prototype under the current mixing."""
        mixing = self._mixing(exponent).detach()
        places, _ = top_rows(rows_of(features.means, features.kept[slots]), mixing, count)
        rows = slots[places]
        cells = read_peaks(features.maps, rows, mixing).cells
        channels = torch.arange(len(rows))[:, None].expand_as(rows)
        return torch.stack([channels, rows, cells], dim=-1).flatten(0, 1)

    def _epoch(
        self, features: Features, chosen: Tensor, exponent: Tensor, optimizer: torch.optim.Adam, epoch: int
    ) -> None:
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        for pairs in chosen[torch.randperm(len(chosen), generator=rng)].split(self.batch):
            channels, rows, cells = pairs.unbind(1)
            vectors = features.maps[rows, :, cells]
            loss = -purity(vectors @ self._mixing(exponent).T, channels).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    @staticmethod
    def _leave(
        checkpoint: Checkpoint, epoch: int, chosen: Tensor, exponent: Tensor, optimizer: torch.optim.Adam
    ) -> None:
        state = optimizer.state[exponent]
        tensors = {"exponent": exponent.detach(), "chosen": chosen}
        tensors |= {name: state[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        checkpoint.write_state("adam", tensors, {"epoch": epoch})

    @staticmethod
    def _load(
        tensors: dict[str, Tensor], epoch: int, exponent: Tensor, optimizer: torch.optim.Adam
    ) -> tuple[int, Tensor]:
        with torch.no_grad():
            exponent.copy_(tensors["exponent"])
        optimizer.state[exponent] = {name: tensors[name] for name in ("step", "exp_avg", "exp_avg_sq")}
        return epoch, tensors["chosen"]
