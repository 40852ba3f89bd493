"""Whether cells cost what they claim, for networks that are cut and for those whose tail is held as on each image.

    python benchmarks/agreement.py           # a quarter of an hour on one core
    python benchmarks/agreement.py --n 16    # fewer pictures; no page

Writes benchmarks/results/agreement.md. Networks and photos lie beside the repository (`_real.py`); without them only
the zoo's transformer is measured.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import print_rows, write_results
from _real import NoRealMaterial, cifar_folder, imagenet_folder
from real import cifar, lite0_split

import likethat as lt
from likethat.features import Features, collect
from likethat.fitting.agreement import Filled, fill_boxes, ranked_alike

PAGE = Path(__file__).parent / "results" / "agreement.md"
TITLE = "What cells claim, and what filling them costs"
_NAMES = ((0, "claim"), (1, "fall"))
SEED, DRAWS = 7, 1000  # of the draws of pictures, and how many give an interval
NOTE = """Each picture's predicted class, cells of the map one by one: the (at most four) cells that an explanation's
rows box, and eight others at random. *Claim*: what the cell adds to the logit. *Fall*: by how much the logit
falls when the cell is filled with the picture's mean colour. *Fall / claim*: of the means; 1 would be
literal. *Rank*: Spearman between claims and falls within a picture, mean over pictures: of all its cells, of
the boxed, of the others. Banks are EPIC's, fitted to other pictures. Brackets: 95 %, pictures drawn again. In
a network that is cut a claim is of the logit as it is, and still not by how much it falls: cells see far
beyond their own pixels.
"""


def of_layer(model: lt.SplitModel, layer: str) -> lt.SplitModel:
    """Return the same network with the map of another layer."""
    names = model.class_names
    return lt.split(
        model.network, model.preprocess, layer=layer, class_names=names, example=torch.rand(1, 3, *model.size)
    )


def some(folder: Path, n: int, *, after: int = 0) -> lt.ImageFolder | list[Any]:
    """Return pictures of a folder, drawn once for all."""
    source = lt.ImageFolder(folder)
    chosen = np.random.default_rng(SEED).permutation(len(source))[after : after + n]
    return lt.Images([source[int(index)].image for index in chosen])


def cases(n: int) -> Iterator[tuple[str, Callable[[], lt.SplitModel], Any, Any]]:
    """Yield name, model, pictures to fit to and pictures to measure on."""
    yield (
        "creatures-vit, followed",
        lambda: lt.load("zoo:creatures-vit"),
        lt.creatures(200, seed=41),
        lt.creatures(n, seed=42),
    )
    try:
        small, large = cifar_folder("train"), imagenet_folder()
    except NoRealMaterial as missing:
        print(missing)
        return
    photos = some(small, 300), some(cifar_folder("test"), n)
    yield "ResNet-20, cut", cifar, *photos
    yield "ResNet-20, layer2 on held", lambda: of_layer(cifar(), "layer2"), *photos
    yield "ResNet-20, finer", lambda: of_layer(cifar(), "finer"), *photos
    photos = some(large, 60), some(large, n, after=60)
    yield "EfficientNet-Lite0, cut", lite0_split, *photos
    yield "EfficientNet-Lite0, blocks.6 on held", lambda: of_layer(lite0_split(), "blocks.6"), *photos
    yield "EfficientNet-Lite0, blocks.4 on held", lambda: of_layer(lite0_split(), "blocks.4"), *photos


def interval(found: list[Filled], figure: Callable[[list[Filled]], float]) -> str:
    """Return a figure of pictures, and what it is when they are drawn again."""
    rng = np.random.default_rng(SEED)
    again = [figure([found[i] for i in rng.integers(len(found), size=len(found))]) for _ in range(DRAWS)]
    low, high = np.nanpercentile(again, (2.5, 97.5))
    return f"{figure(found):.2f} ({low:.2f} to {high:.2f})"


def cells_of(one: Filled, which: str) -> tuple[np.ndarray, np.ndarray]:
    """Return claims and falls of a picture's cells: "all", "boxed" or "elsewhere"."""
    place = {"all": slice(None), "boxed": slice(one.n_boxed), "elsewhere": slice(one.n_boxed, None)}[which]
    return one.claims[place].numpy(), one.falls[place].numpy()


def row_of(found: list[Filled]) -> dict[str, str]:
    """Return what a table says of a network."""

    def mean(name: int, which: str) -> Callable[[list[Filled]], float]:
        return lambda drawn: float(np.concatenate([cells_of(one, which)[name] for one in drawn]).mean())

    def rank(which: str) -> Callable[[list[Filled]], float]:
        def figure(drawn: list[Filled]) -> float:
            cells = [cells_of(one, which) for one in drawn]
            return float(np.mean([ranked_alike(*pair) for pair in cells if len(pair[0]) > 2] or [np.nan]))

        return figure

    columns = {f"{name}, {which}": mean(place, which) for which in ("boxed", "elsewhere") for place, name in _NAMES}
    columns["fall / claim, boxed"] = lambda drawn: mean(1, "boxed")(drawn) / mean(0, "boxed")(drawn)
    columns |= {f"rank, {which}": rank(which) for which in ("all", "boxed", "elsewhere")}
    return {name: interval(found, figure) for name, figure in columns.items()}


def measured(model: lt.SplitModel, fitted: Any, held_out: Any) -> list[Filled]:
    """Fit EPIC, and fill cells of pictures that it was not fitted to."""
    bank = lt.EPIC().fit(model, fitted)
    features: Features = collect(bank.model, held_out)
    return fill_boxes(bank, features, torch.arange(len(features.kept)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100, help="pictures that are measured on")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name, load, fitted, held_out in cases(chosen.n):
        model = load()
        found = measured(model, fitted, held_out)
        height, width = model.grid
        rows.append({"what": name, "map": f"{height} x {width}", "pictures": len(found), **row_of(found)})
        print_rows(rows[-1:], title=name)
        if chosen.n == parser.get_default("n"):  # of what is done: the last rows take longest
            sections = [("Networks", rows), ("Columns", NOTE)]
            write_results(PAGE, title=TITLE, command="python benchmarks/agreement.py", sections=sections)


if __name__ == "__main__":
    main()
