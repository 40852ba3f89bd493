"""From where a class token's content is followed, chosen and measured beside other methods' maps, on drawn creatures.

    python benchmarks/tokens.py            # both tables and the page; ten minutes on one idle core
    python benchmarks/tokens.py choice     # the candidates alone, on pictures that the second table does not see
    python benchmarks/tokens.py epic       # EPIC's boxes alone
    python benchmarks/tokens.py --n 24     # fewer pictures; no page

Writes benchmarks/results/tokens.md. Pictures that a stopped run has finished stay in out/; `--fresh` measures again.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import markdown, write_results
from _token_maps import Map, candidates, followed, frozen_from, others
from torch import Tensor

import likethat as lt
from likethat import metrics
from likethat.metrics.attributions import Replacement
from likethat.metrics.deletion import rank_agreement
from likethat.metrics.single_deletion import importance_of
from likethat.sources.creatures import CLASS_PARTS, REMOVABLE_PARTS, VARIANTS, Creatures

ROOT = Path(__file__).parents[1]
NETWORK = "zoo:creatures-vit"
REPLACEMENTS: tuple[Replacement, ...] = ("mean", "blur")
SEEDS = {"choice": 31, "judged": 32}  # of picture books: neither is the training's, nor that of its held-out pictures
COUNTS = {"choice": 48, "judged": 48}  # two rounds of 24 classes
BOOKS = range(42, 48)  # of pictures that EPIC's bank explains
OURS = "followed (likethat)"
COLUMNS = {  # and whether more is better
    "insertion, mean": 1, "deletion, mean": -1, "insertion, blur": 1, "deletion, blur": -1,
    "redrawn": 1, "left out": 1, "class specificity": 1,
}  # fmt: skip
Values = dict[str, float]


def rivals(logits: Tensor, target: int) -> int:
    """Return the class of the highest logit among those that share some parts with the target and differ in others."""
    shared = [sum(CLASS_PARTS[target][part] == other[part] for part in other) for other in CLASS_PARTS]
    fits = [k for k, count in enumerate(shared) if 0 < count < len(VARIANTS)]
    return max(fits, key=lambda k: float(logits[k]))


def auc(positive: list[float], negative: list[float]) -> float:
    """Return how often one of the first is larger than one of the second; a tie counts half."""
    above = np.subtract.outer(np.array(positive), np.array(negative))
    return float(((above > 0) + 0.5 * (above == 0)).mean())


class Judge:
    """What is true about one picture, asked of the network once for all maps."""

    def __init__(self, model: lt.SplitModel, book: Creatures, index: int) -> None:
        self.network, self.sample = model.network, book[index]
        self.image, self.masks = self.sample.image, self.sample.masks
        with torch.no_grad():
            logits = self.network(self.image[None])[0]
            self.target = int(logits.argmax())
            self.rival = rivals(logits, self.target)
            self.redrawn = {part: self._drop(self._variants(book, index, part)) for part in self.masks}
            without = [part for part in REMOVABLE_PARTS if part in self.masks]
            self.left_out = {part: self._drop([book.without(index, part).image]) for part in without}

    def _variants(self, book: Creatures, index: int, part: str) -> list[Tensor]:
        """Return the picture with a part drawn in every other way."""
        worn = self.sample.parts[part]
        return [book.with_part(index, part, other).image for other in VARIANTS[part] if other != worn]

    def _drop(self, images: list[Tensor]) -> float:
        whole = self.network(self.image[None])[0, self.target]
        return float(whole - self.network(torch.stack(images))[:, self.target].mean())

    @torch.no_grad()
    def _probabilities(self, images: Tensor) -> Tensor:
        return self.network(images).softmax(1)  # type: ignore[no-any-return]

    def curves(self, heat: np.ndarray) -> Values:
        """Insertion and deletion; a grid's values are interpolated to pixels."""
        if heat.shape != self.image.shape[1:]:
            grid = torch.from_numpy(heat).float()[None, None]
            size = list(self.image.shape[1:])
            heat = torch.nn.functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
        found: Values = {}
        for way in REPLACEMENTS:
            rng = torch.Generator().manual_seed(0)
            heat = np.ascontiguousarray(heat, dtype=np.float32)
            both = metrics.insertion_deletion(
                self._probabilities, self.image, heat, self.target, replacement=way, rng=rng
            )
            found |= {f"insertion, {way}": both.insertion, f"deletion, {way}": both.deletion}
        return found

    def agreement(self, heat: np.ndarray, drops: Values) -> float:
        """Return Spearman's correlation of what a map gives to parts with how far the logit falls."""
        return rank_agreement([importance_of(heat, self.masks[part]) for part in drops], list(drops.values()))

    def specificity(self, heat: np.ndarray, of_rival: np.ndarray) -> float:
        """Return the AUC of the map less that of the rival class: parts in which they differ against the others.

        By the pixel: parts differ in area by a factor of fifty, which sums would rank.
        """
        differs = CLASS_PARTS[self.target].items() - CLASS_PARTS[self.rival].items()
        kinds: dict[bool, list[float]] = {True: [], False: []}
        for part, mask in self.masks.items():
            kinds[part in dict(differs)].append(importance_of(heat - of_rival, mask) / max(1, int(mask.sum())))
        return auc(kinds[True], kinds[False]) if kinds[True] and kinds[False] else 0.5

    def values(self, make: Map) -> Values:
        """Return every measure of one method."""
        heat, of_rival = make(self.image, self.target), make(self.image, self.rival)
        return self.curves(heat) | {
            "redrawn": self.agreement(heat, self.redrawn),
            "left out": self.agreement(heat, self.left_out),
            "class specificity": self.specificity(heat, of_rival),
        }


def judged(model: lt.SplitModel) -> dict[str, Map]:
    """Return what `split` says, the candidate that follows patches through each other, and the methods of others."""
    network: Any = model.network
    return {OURS: followed(model), "frozen run from block 1": frozen_from(network, 0), **others(model)}


def measured(part: str, maps: Callable[[Any], dict[str, Map]], n: int, *, fresh: bool) -> list[dict[str, Values]]:
    """Return the values of every method on each picture; those of earlier runs are read."""
    store = ROOT / "out" / f"tokens-{part}.jsonl"
    store.parent.mkdir(exist_ok=True)
    if fresh:
        store.unlink(missing_ok=True)
    known = [json.loads(line) for line in store.read_text("utf-8").splitlines()] if store.exists() else []
    model, book = lt.load(NETWORK), lt.creatures(n, seed=SEEDS[part], size=64)
    methods = maps(model)
    for index in range(len(known), n):
        judge = Judge(model, book, index)
        known.append({name: judge.values(make) for name, make in methods.items()})
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps(known[-1]) + "\n")
        print(part, index + 1, "of", n, flush=True)
    return known[:n]


def interval(values: np.ndarray) -> str:
    """Return a mean with half its 95 % interval."""
    return f"{values.mean():.3f} ± {1.96 * values.std(ddof=1) / len(values) ** 0.5:.3f}"


def table(found: list[dict[str, Values]]) -> list[dict[str, Any]]:
    """Return a row a method."""
    return [
        {"": name, **{column: interval(np.array([one[name][column] for one in found])) for column in COLUMNS}}
        for name in found[0]
    ]


def verdicts(found: list[dict[str, Values]], ours: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each other method: by how much ours is better on the same pictures, with the 95 % interval."""
    for name in found[0]:
        row: dict[str, Any] = {"": name}
        for column, sign in COLUMNS.items():
            gaps = sign * np.array([one[ours][column] - one[name][column] for one in found])
            half = 1.96 * gaps.std(ddof=1) / len(gaps) ** 0.5
            word = "won" if gaps.mean() > half else "lost" if gaps.mean() < -half else "tie"
            row[column] = f"{gaps.mean():+.3f} ± {half:.3f} {word}"
        if name != ours:
            yield row


def shares(n: int) -> list[dict[str, Any]]:
    """Return the shares of the predicted class's logit on pictures of the second table."""
    model, book = lt.load(NETWORK), lt.creatures(n, seed=SEEDS["judged"], size=64)
    images = torch.stack([book[index].image for index in range(n)])
    with torch.no_grad():
        output, constant = model.forward(images), model.constant(images)
    rows = model.head.weight[output.logits.argmax(1)]
    located = (rows * output.feature_map.mean((2, 3))).sum(1)
    kept = (rows * (output.pooled - constant)).sum(1) - located
    parts = {"patches": located, "the token's own": kept, "constant": (rows * constant).sum(1)}
    whole = output.logits.max(1).values - model.head.bias[output.logits.argmax(1)]
    return [{"": name, "of the logit": interval((value / whole).numpy())} for name, value in parts.items()]


def epic() -> list[dict[str, Any]]:
    """Return what EPIC's bank shows on the network: whether boxes show the part that its prototypes show."""
    bank = lt.EPIC().fit(lt.load(NETWORK), lt.creatures(480, seed=41, size=64))
    found = [metrics.evaluate(bank, lt.creatures(48, seed=seed, size=64)) for seed in BOOKS]
    names = ("box_match", "part_consistency", "surroundings", "purity")
    return [
        {"": name.replace("_", " "), "EPIC": interval(np.array([getattr(one, name) for one in found]))}
        for name in names
    ]


NOTES = """
Means over pictures with 95 % intervals; the second table of a section says by how much `likethat`'s map is better on
the same pictures. *Insertion*, *deletion*: areas under the predicted class's probability (higher, lower is better),
hidden pixels show the mean colour or the picture out of focus; maps of cells are interpolated. *Redrawn*: Spearman's
correlation over the eight true parts between what the map gives to a part and how far the logit falls when the part is
drawn in its other ways, a picture at a time; *left out*: the same for six parts that are not drawn at all. *Class
specificity*: AUC of the map less the map of the most likely class that shares some parts, on parts in which the two
classes differ against parts in which they do not; a method that knows no classes has .5.
"""


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*SEEDS, "epic", []])
    parser.add_argument("--n", type=int, help="pictures of each table; no page is written")
    parser.add_argument("--fresh", action="store_true", help="measure finished pictures again")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {"choice": candidates, "judged": judged}
    wanted = [part for part in given.parts or SEEDS if part != "epic"]
    found = {part: measured(part, kinds[part], given.n or COUNTS[part], fresh=given.fresh) for part in wanted}
    if "epic" in given.parts:
        print("epic", markdown(epic()), sep="\n")
    rows = {part: table(values) for part, values in found.items()}
    for part, values in rows.items():
        print(part, markdown(values), sep="\n")
    if given.n or given.parts:
        return
    sections = [
        (f"From where the content is followed: {COUNTS['choice']} pictures", markdown(rows["choice"])),
        ("Traced paths better by, on the same pictures", list(verdicts(found["choice"], "traced paths"))),
        (f"Beside other methods: {COUNTS['judged']} other pictures", markdown(rows["judged"]) + NOTES),
        ("Better by, on the same pictures", list(verdicts(found["judged"], OURS))),
        ("Shares of the logit less its bias", shares(COUNTS["judged"])),
        (f"EPIC's boxes, over {len(BOOKS)} books of 48 pictures", epic()),
    ]
    title = f"Class tokens located, measured on {NETWORK}"
    write_results(
        ROOT / "benchmarks/results/tokens.md", title=title, command="python benchmarks/tokens.py", sections=sections
    )


if __name__ == "__main__":
    main()
