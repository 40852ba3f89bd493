"""Audits and repairs of networks that were taught a shortcut on purpose, beside clean ones.

    python benchmarks/audit.py              # all that is measured; goes on where it was stopped
    python benchmarks/audit.py measured
    python benchmarks/audit.py copies slices unlike surroundings   # beside shortcuts
    python benchmarks/audit.py chosen       # the networks that the search and its limit were chosen on
    python benchmarks/audit.py --quick

The networks are small and trained here, about half a minute each on one idle core, once (`_shortcuts.py`). Photos are
CIFAR-10's that lie beside the repository; where they are not, only creatures are measured.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _findings import copies, slices, surroundings, unlike
from _real import NoRealMaterial, real_folder
from _rows import Row, Rows, run
from _shortcuts import CHOSEN_ON, MEASURED, Case, Pictures, load, pictures_of
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

import likethat as lt

SECTIONS = {
    "measured": "Networks that nothing was chosen on",
    "sum": "Together, with 95 % intervals over networks",
    "copies": "Copies among test pictures",
    "slices": "Slices of low accuracy",
    "unlike": "Pictures unlike the others",
    "surroundings": "Surroundings that carry a class",
    "chosen": "Networks that the search and its limit were chosen on",
}
NOTES = {
    "measured": (
        "\n`score` of the direction found where one is asked for, on pictures that it was not found on, beside "
        "its null; `clear` is what an audit calls a shortcut; `states` is the share of the 2,400 pictures "
        "whose mark the state tells. What follows is on 600 other pictures, each once without the mark and "
        "once with it: `balanced` is the mean of eight classes and states, `worst` the lowest of four groups: "
        "the marked class and the others, without and with the mark. `repaired` by the audit alone; `DFR` "
        "(Kirichenko et al. 2023) retrains the last layer on 200 pictures kept back, 25 of each class and "
        "state, whose marks are told to it; `AFR` (Qiu et al. 2023) on all 640 kept back, weighted by the "
        "network's errors, without being told. Of clean networks the direction is taken out all the same, to "
        "see what that costs.\n"
    ),
    "copies": (
        "\nThe published ResNet-20 on CIFAR-10's test photos: 750 stand for training, 360 others and 40 changed copies "
        "for testing. Others that are called copies may be some: the photos hold near copies of their own.\n"
    ),
    "surroundings": (
        "\nNetworks that learned photos of four classes, each in its scene (sky, street, sea, road) in 95 of 100, in "
        "any scene, or as they are, audited on the same and those kept back. The least that is clear was chosen on "
        "other networks. Beside it the shortcut of the highest score.\n"
    ),
    "unlike": (
        "\nThe published ResNet-20: 750 of CIFAR-10's test photos stand for those learned from, 360 others and 40 of "
        "another kind for those to test on.\n"
    ),
    "slices": (
        "\nClean networks, audited on 1,240 pictures that they did not learn from, of which one in eight is changed. "
        "The least that is clear was chosen on other networks and other changes, but for the dark ones.\n"
    ),
}
_GROUPS_EACH = 25  # pictures of each class and state for DFR: 200 group labels in all
_GAMMA, _PULL = 2.0, 1e-2
"""AFR's sharpness of the weights and its pull to the layer as it was: of 2, 4 and 8, and of 1e-3 and 1e-2, the best on
three of the networks for choosing."""
_DFR_PENALTY = 0.1  # of the squared weights: of 1e-4 to 0.1 the best on the same three
_DRAWS = 2000  # of the bootstrap over networks
_FOUND = 0.9  # of the states, from which on a direction is the mark's: by chance .6 to .7 of them agree


def features_of(network: nn.Module, images: Tensor) -> Tensor:
    """Return the pooled features."""
    with torch.no_grad():
        return torch.cat([network.features(part - 0.5).mean((2, 3)) for part in images.split(300)])  # type: ignore[operator]


def rates(features: Tensor, weight: Tensor, bias: Tensor, judged: Pictures, target: int) -> tuple[float, float]:
    """Return balanced accuracy over classes and states, and that of the worst of four groups."""
    right = (features.double() @ weight.double().T + bias.double()).argmax(1) == judged.labels
    is_on, is_target = judged.marked, judged.labels == target

    def rate(rows: Tensor) -> float:
        return float(right[rows].double().mean())

    n_classes = len(judged.class_names)
    each = [rate((judged.labels == c) & (is_on == state)) for c in range(n_classes) for state in (False, True)]
    four = [rate((is_target == side) & (is_on == state)) for side in (False, True) for state in (False, True)]
    return sum(each) / len(each), min(four)


def last_layer(
    features: Tensor, labels: Tensor, weights: Tensor, begin: tuple[Tensor, Tensor], *, penalty: Callable[..., Tensor]
) -> tuple[Tensor, Tensor]:
    """Retrain the last layer on weighted pictures."""
    scale = features.std(0).clamp_min(1e-6)
    z = (features / scale).double()
    weight = (begin[0] * scale).double().clone().requires_grad_()
    bias = begin[1].double().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")
    share = (weights / weights.sum()).double()

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = nn.functional.cross_entropy(z @ weight.T + bias, labels, reduction="none")
        value = (share * errors).sum() + penalty(weight, bias)
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[arg-type]  # a tensor is what it takes
    return weight.detach() / scale, bias.detach()


def dfr(network: nn.Module, case: Case, *, penalty: float = _DFR_PENALTY) -> tuple[Tensor, Tensor]:
    """Retrain on 25 pictures of each class and state, the states told."""
    told = pictures_of(case, coin=True)[1]
    rows = torch.cat(
        [
            ((told.labels == c) & (told.marked == state)).nonzero()[:_GROUPS_EACH, 0]
            for c in range(len(told.class_names))
            for state in (False, True)
        ]
    )
    features = features_of(network, told.images[rows])
    begin = (torch.zeros_like(network.head.weight), torch.zeros_like(network.head.bias))  # type: ignore[union-attr,arg-type]
    return last_layer(
        features, told.labels[rows], torch.ones(len(rows)), begin, penalty=lambda w, _: penalty * w.square().sum()
    )


def afr(network: nn.Module, held: Pictures) -> tuple[Tensor, Tensor]:
    """Retrain on pictures kept back, those that the network gets wrong weighing most."""
    features = features_of(network, held.images)
    weight, bias = network.head.weight.detach(), network.head.bias.detach()  # type: ignore[union-attr]
    own = torch.softmax(features @ weight.T + bias, 1).gather(1, held.labels[:, None])[:, 0]
    weights = torch.exp(-_GAMMA * own) / torch.bincount(held.labels)[held.labels]
    scale = features.std(0).clamp_min(1e-6)

    def pull(w: Tensor, b: Tensor) -> Tensor:
        return _PULL * ((w - weight * scale).square().sum() + (b - bias).square().sum())

    return last_layer(features, held.labels, weights, (weight, bias), penalty=pull)


def measure(case: Case) -> Row:
    """Audit one network, repair it, and measure it beside the baselines."""
    network = load(case)
    learned, held, judged = pictures_of(case)
    images, labels = torch.cat([learned.images, held.images]), torch.cat([learned.labels, held.labels])
    marked = torch.cat([learned.marked, held.marked])
    share = torch.stack([marked[labels == c].double().mean() for c in range(len(learned.class_names))])
    target = int(share.argmax())
    model = lt.split(network, example=images[:4], class_names=list(learned.class_names))
    data = lt.Images(images, labels=labels.tolist(), class_names=list(learned.class_names))
    found = lt.audit(model, data, n_shortcuts=1, n_pictures=1, n_labels=0)
    first = found.shortcuts[0]
    repaired = lt.repair(model, first).model.head
    features = features_of(network, judged.images)
    reading = features_of(network, images).double().numpy() @ first.reader
    is_on = torch.from_numpy(reading > first.cut[labels.numpy()])
    agree = float((is_on == marked).double().mean())
    row: Row = {
        "score": first.score,
        "low": first.interval[0],
        "null": first.null,
        "clear": "yes" if first.is_clear else "",
    }
    row["states"] = max(agree, 1 - agree) if case.mark else None
    heads = {"": (model.head.weight, model.head.bias), "repaired": (repaired.weight, repaired.bias)}
    if case.mark:
        heads |= {"DFR": dfr(network, case), "AFR": afr(network, held)}
    for name, head in heads.items():
        balanced, worst = rates(features, *head, judged, target)
        row[f"balanced {name}".strip()] = balanced
        if case.mark:
            row[f"worst {name}".strip()] = worst
    return row


def cases(section: tuple[Case, ...], *, quick: bool) -> list[Case]:
    """Return the cases that can be measured here."""
    try:
        real_folder()
    except NoRealMaterial as why:
        print(f"photos are skipped: {why}")
        section = tuple(case for case in section if case.pictures != "photos")
    return list(section[:2] if quick else section)


def measured(rows: Rows) -> None:
    """Measure what nothing was chosen on, and sum it up after each network."""
    for case in cases(MEASURED, quick=rows.quick):
        rows.add("measured", case.name, partial(measure, case))
    summed(rows)


def chosen(rows: Rows) -> None:
    """Measure what was chosen on."""
    for case in cases(CHOSEN_ON, quick=rows.quick):
        rows.add("chosen", case.name, partial(measure, case))


def summed(rows: Rows) -> None:
    """Sum up the networks that were measured so far."""
    found = rows.of("measured")
    planted, clean = ([row for row in found if (row["states"] is not None) == side] for side in (True, False))
    rows.fresh = True  # sums are always of all rows
    for name, share in (("at 0.95", planted), ("at 0.75", planted)):
        some = [row for row in share if name in row[""]]
        if some:
            rows.add("sum", f"planted {name}", partial(_planted, some))
    if clean:
        rows.add("sum", "clean", partial(_clean, clean))
    strong = [row for row in planted if "at 0.95" in row[""]]
    if strong and clean:
        rows.add("sum", "planted at 0.95 against clean", partial(_auc, strong, clean))


def _planted(some: list[Row]) -> Row:
    return {
        "networks": len(some),
        "first": f"{sum(row['states'] >= _FOUND for row in some)} of {len(some)}",
        "clear": f"{sum(row['clear'] == 'yes' for row in some)} of {len(some)}",
        "worst": _interval([row["worst"] for row in some]),
        "worst repaired": _interval([row["worst repaired"] for row in some]),
        "balanced": _interval([row["balanced"] for row in some]),
        "balanced repaired": _interval([row["balanced repaired"] for row in some]),
        "less DFR": _interval([row["balanced repaired"] - row["balanced DFR"] for row in some]),
        "less AFR": _interval([row["balanced repaired"] - row["balanced AFR"] for row in some]),
        "within .01 of DFR": f"{sum(row['balanced repaired'] > row['balanced DFR'] - 0.01 for row in some)}",
        "s": None,
    }


def _clean(some: list[Row]) -> Row:
    return {
        "networks": len(some),
        "clear": f"{sum(row['clear'] == 'yes' for row in some)} of {len(some)}",
        "balanced": _interval([row["balanced"] for row in some]),
        "balanced repaired": _interval([row["balanced repaired"] for row in some]),
        "s": None,
    }


def _auc(planted: list[Row], clean: list[Row]) -> Row:
    truth, scores = [1] * len(planted) + [0] * len(clean), [row["score"] for row in [*planted, *clean]]
    return {"networks": len(truth), "AUC of the score": float(roc_auc_score(truth, scores)), "s": None}


def _interval(values: list[float]) -> str:
    rng = np.random.default_rng(0)
    means = [rng.choice(values, len(values)).mean() for _ in range(_DRAWS)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f})"


WORK: dict[str, Callable[[Rows], None]] = {
    "measured": measured,
    "copies": copies,
    "slices": slices,
    "unlike": unlike,
    "surroundings": surroundings,
    "chosen": chosen,
    "sum": summed,
}


def main() -> None:
    """Parse the command line and measure."""
    folder = Path(__file__).parent
    run(
        WORK, store=folder.parent / "out" / "audit.json", results=folder / "results" / "audit.md",
        title="Audits of networks with planted shortcuts", headings=SECTIONS, notes=NOTES, description=__doc__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
