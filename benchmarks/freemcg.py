"""Measure counterfactuals and attributions of black boxes beside other methods.

    python benchmarks/freemcg.py                   # everything; minutes on one thread
    python benchmarks/freemcg.py digits --quick    # one section: digits, tables, attribution, single, errors, speed

Rows that a stopped run has finished are kept in benchmarks/.cache and not made again; --fresh makes them anew.
Writes benchmarks/results/freemcg.md.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _freemcg_methods import captum_map, latent_cma, nearest_unlike, rise, wachter
from _measure import markdown, write_results
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import likethat as lt
from likethat import metrics
from likethat.generators import load_generator
from likethat.generators.table_training import train_table

CACHE = Path(__file__).parent / ".cache" / "freemcg.json"
RESULTS = Path(__file__).parent / "results" / "freemcg.md"
Row = dict[str, Any]


class Rows:
    """Rows by section and name; each is made once."""

    def __init__(self, *, fresh: bool, quick: bool) -> None:
        self.quick = quick
        self.kept: dict[str, Row] = {} if fresh or not CACHE.exists() else json.loads(CACHE.read_text("utf-8"))

    def add(self, section: str, name: str, make: Callable[[], Row]) -> None:
        """Make a row unless it was kept."""
        key = f"{section}/{name}/{'quick' if self.quick else 'full'}"
        if key not in self.kept:
            self.kept[key] = {"": name, **make()}
            CACHE.parent.mkdir(exist_ok=True)
            CACHE.write_text(json.dumps(self.kept), "utf-8")
        print(section, self.kept[key], flush=True)

    def of(self, section: str) -> list[Row]:
        """Return the rows of a section."""
        mode = "quick" if self.quick else "full"
        return [row for key, row in self.kept.items() if key.split("/")[0] == section and key.endswith(mode)]


def stacked(source: Any) -> tuple[torch.Tensor, torch.Tensor]:
    samples = [source[index] for index in range(len(source))]
    return torch.stack([item.image for item in samples]), torch.tensor([item.label for item in samples])


def pairs(model: Any, images: torch.Tensor, n: int, n_classes: int, seed: int = 1) -> list[tuple[torch.Tensor, int]]:
    """Return sources with a random class that the model does not give them."""
    rng = torch.Generator().manual_seed(seed)
    found = []
    for image in images[: 2 * n]:
        target = int(torch.randint(n_classes, (1,), generator=rng))
        if target != int(model.logits(image[None]).argmax()):
            found.append((image, target))
    return found[:n]


def image_rows(
    rows: Rows, section: str, *, model: Any, work: list[Any], oracle: Any, methods: dict[str, Any], extra: Any = None
) -> None:
    """One row a method: validity by model and oracle, distances, queries, seconds."""

    def measured(make: Callable[[torch.Tensor, int, int], tuple[torch.Tensor, int]]) -> Row:
        found, valid, agrees, queries = [], [], [], []
        started = time.perf_counter()
        for index, (source, target) in enumerate(work):
            image, asked = make(source, target, index)
            found.append(image)
            queries.append(asked)
        seconds = (time.perf_counter() - started) / len(work)
        with torch.no_grad():
            predicted = model.logits(torch.stack(found)).argmax(1).tolist()
        judged = oracle(torch.stack(found))
        for (_, target), given, label in zip(work, predicted, judged, strict=True):
            valid.append(given == target)
            agrees.append(given == target and int(label) == target)
        gaps = torch.stack([image - source for image, (source, _) in zip(found, work, strict=True)])[valid]
        row = {
            "valid": float(np.mean(valid)), "and oracle": float(np.mean(agrees)), "L1": float(gaps.abs().mean()),
            "L2": float(gaps.pow(2).mean((1, 2, 3)).sqrt().mean()), "queries": float(np.mean(queries)), "s": seconds,
        }  # fmt: skip
        return row | (extra(found) if extra else {})

    for name, make in methods.items():
        rows.add(section, name, lambda make=make: measured(make))


def ours(model: Any, generator: Any, budget: int, **options: Any) -> Callable[..., tuple[torch.Tensor, int]]:
    def make(source: torch.Tensor, target: int, index: int) -> tuple[torch.Tensor, int]:
        method = lt.FreeMCG(generator, seed=index, **options)
        found = method.counterfactual(lt.BlackBox(model), source, target, budget=budget)
        return found.best.input[0], found.queries  # type: ignore[index]

    return make


def digits(rows: Rows) -> None:
    model, flow, vae = lt.load("zoo:digits"), load_generator("zoo:digits-flow"), load_generator("zoo:digits")
    images, labels = stacked(lt.digits(split="train"))
    work = pairs(model, stacked(lt.digits(split="test"))[0], 10 if rows.quick else 60, 10)
    judge = SVC(C=10).fit(images.flatten(1).numpy(), labels.numpy())

    def ask(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.logits(x).softmax(1)

    methods = {
        "ours, 200 queries": ours(model, flow, 200),
        "ours, 100 queries": ours(model, flow, 100),
        "ours, 60 queries": ours(model, flow, 60),
        "paper's rule, 10 particles, 18 steps": ours(model, flow, 200, rule="paper", n_steps=18),
        "release's rule, 20 particles, 25 steps": ours(model, flow, 520, rule="release", n_particles=20),
        "ours in the VAE's latents, 200": ours(model, vae, 200),
        "CMA-ES in the VAE's latents": lambda s, t, i: latent_cma(s, t, ask, vae, budget=300, seed=i),
        "white box (Wachter)": lambda s, t, _: (wachter(s, t, model.logits, steps=300), 300),
        "nearest unlike neighbour": lambda s, t, _: (nearest_unlike(s, images, labels, t), 0),
    }
    image_rows(
        rows, "digits", model=model, work=work, methods=methods,
        oracle=lambda x: judge.predict(x.flatten(1).numpy()),
    )  # fmt: skip


def tables(rows: Rows) -> None:
    for name, load in {"breast-cancer": load_breast_cancer, "wine": load_wine}.items():
        data = load(as_frame=True)
        order = np.random.default_rng(0).permutation(len(data.data))
        cut = int(0.7 * len(order))
        X, y, held = data.data.iloc[order[:cut]], data.target.iloc[order[:cut]], data.data.iloc[order[cut:]]
        model = make_pipeline(StandardScaler(), MLPClassifier((32,), max_iter=800, random_state=0)).fit(X, y)
        judge = RandomForestClassifier(200, random_state=1).fit(X, y)
        sources = [held.iloc[[index]] for index in range(10 if rows.quick else 40)]
        targets = [int((model.predict(row)[0] + 1) % y.nunique()) for row in sources]
        rows.add("tables", f"{name}: ours, 200", partial(_table_row, X, model, judge, sources, targets))
        near = partial(_table_neighbours, X, y, model, judge, sources, targets)
        rows.add("tables", f"{name}: nearest unlike neighbour", near)


def _table_row(X: Any, model: Any, judge: Any, sources: list[Any], targets: list[int]) -> Row:
    generator = train_table(X, seed=0)
    method = lt.FreeMCG(generator)
    started = time.perf_counter()
    found = [method.counterfactual(lt.BlackBox(model), row, t) for row, t in zip(sources, targets, strict=True)]
    seconds = (time.perf_counter() - started) / len(found)
    row = metrics.validity(found, oracle=[int(judge.predict(item.best.input)[0]) for item in found])
    spread = generator(generator.prior.sample(256, rng=torch.Generator().manual_seed(0))).std()
    l1 = [float(((item.best.input - source.values).abs() / spread).mean(axis=1).iloc[0])
          for item, source in zip(found, sources, strict=True)]  # fmt: skip
    changed = float(np.mean([len(item.best.changes) for item in found]))
    return {"valid": row.model, "and oracle": row.oracle, "L1": float(np.mean(l1)), "columns": changed,
            "queries": row.queries, "s": seconds}  # fmt: skip


def _table_neighbours(X: Any, y: Any, model: Any, judge: Any, sources: list[Any], targets: list[int]) -> Row:
    valid, agrees, l1, columns = [], [], [], []
    for source, target in zip(sources, targets, strict=True):
        gaps = (X[y == target] - source.iloc[0]).abs() / X.std()
        found = X.loc[[gaps.mean(axis=1).idxmin()]]
        valid.append(model.predict(found)[0] == target)
        agrees.append(valid[-1] and judge.predict(found)[0] == target)
        l1.append(float(gaps.mean(axis=1).min()))
        columns.append(int((found.iloc[0] != source.iloc[0]).sum()))
    return {"valid": float(np.mean(valid)), "and oracle": float(np.mean(agrees)), "L1": float(np.mean(l1)),
            "columns": float(np.mean(columns)), "queries": 0.0, "s": 0.0}  # fmt: skip


def attribution(rows: Rows) -> None:
    model, flow = lt.load("zoo:digits"), load_generator("zoo:digits-flow")
    images = stacked(lt.digits(split="test"))[0][: 8 if rows.quick else 40]

    def ask(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.logits(x.float()).softmax(1)

    def by(generator: Any) -> Callable[..., np.ndarray]:
        def make(image: torch.Tensor, target: int, index: int) -> np.ndarray:
            return lt.FreeMCG(generator, seed=index).attribute(lt.BlackBox(model), image, target).heat_map

        return make

    network = model.network
    methods: dict[str, Callable[..., np.ndarray]] = {
        "patches, 128": by(None),
        "FreeMCG, 128": by(flow),
        "RISE, 128": lambda x, t, i: rise(x, t, ask, budget=128, seed=i),
        "RISE, 512": lambda x, t, i: rise(x, t, ask, budget=512, seed=i),
        "occlusion, 128": lambda x, t, i: captum_map("occlusion", x, t, network, budget=128, seed=i),
        "KernelSHAP, 128": lambda x, t, i: captum_map("KernelSHAP", x, t, network, budget=128, seed=i),
        "integrated gradients (white box)": lambda x, t, i: captum_map("gradients", x, t, network, budget=128, seed=i),
    }

    def measured(make: Callable[..., np.ndarray]) -> Row:
        scores: dict[str, list[float]] = {"mean": [], "blur": [], "noise": []}
        seconds = 0.0
        for index, image in enumerate(images):
            target = int(ask(image[None]).argmax())
            started = time.perf_counter()
            heat = make(image, target, index)
            seconds += time.perf_counter() - started
            for replacement, found in scores.items():
                rng = torch.Generator().manual_seed(index)
                curves = metrics.insertion_deletion(ask, image, heat, target, replacement=replacement, rng=rng)
                found.append(curves.score)
        return {name: float(np.mean(found)) for name, found in scores.items()} | {"s": seconds / len(images)}

    for name, make in methods.items():
        rows.add("attribution", name, lambda make=make: measured(make))


def single(rows: Rows) -> None:
    """Creatures: rank correlation of parts' heat with the probability's drop when they are not drawn."""
    model = lt.load("zoo:creatures")
    book = lt.creatures(8 if rows.quick else 24, seed=5)

    def ask(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return model.logits(x.float()).softmax(1)

    from likethat.sources.creatures import REMOVABLE_PARTS

    def measured(make: Callable[..., np.ndarray]) -> Row:
        importances, drops = [], []
        scores: dict[str, list[float]] = {"mean": [], "blur": [], "noise": []}
        for index in range(len(book)):
            sample = book[index]
            target = int(ask(sample.image[None]).argmax())
            heat = make(sample.image, target, index)
            parts = [part for part in REMOVABLE_PARTS if part in sample.masks]
            without = torch.stack([sample.image, *(book.without(index, part).image for part in parts)])
            p = torch.logit(ask(without)[:, target].double().clamp(1e-6, 1 - 1e-6))
            importances.append([float(heat[sample.masks[part]].sum()) for part in parts])
            drops.append((p[0] - p[1:]).tolist())
            for replacement, found in scores.items():
                rng = torch.Generator().manual_seed(index)
                curves = metrics.insertion_deletion(ask, sample.image, heat, target, replacement=replacement, rng=rng,
                                                    n_steps=16)  # fmt: skip
                found.append(curves.score)
        row = {"single deletion": metrics.single_deletion(importances, drops)}
        return row | {name: float(np.mean(found)) for name, found in scores.items()}

    methods: dict[str, Callable[..., np.ndarray]] = {
        "patches, 128": lambda x, t, i: lt.FreeMCG(seed=i).attribute(lt.BlackBox(model), x, t).heat_map,
        "RISE, 512": lambda x, t, i: rise(x, t, ask, budget=512, seed=i),
        "occlusion, 128": lambda x, t, i: captum_map("occlusion", x, t, model.network, budget=128, seed=i),
    }
    for name, make in methods.items():
        rows.add("single", name, lambda make=make: measured(make))


def errors(rows: Rows) -> None:
    """Share of pixels whose value of a long run lies within 1.645 standard errors of the short run's."""
    model = lt.load("zoo:digits")
    images = stacked(lt.digits(split="test"))[0][: 2 if rows.quick else 10]

    def measured() -> Row:
        within = []
        for index, image in enumerate(images):
            long = lt.FreeMCG(seed=1000 + index).attribute(lt.BlackBox(model), image, budget=2048)
            short = lt.FreeMCG(seed=index).attribute(lt.BlackBox(model), image, budget=128)
            gap = np.abs(long.heat_map - short.heat_map)
            within.append(float((gap <= 1.645 * short.error).mean()))
        return {"coverage of 90 %": float(np.mean(within)), "worst image": float(np.min(within))}

    rows.add("errors", "patches, 128 against 2,048", measured)


def speed(rows: Rows) -> None:
    """The classifier asked in batches, against one image at a time by way of PIL as the release does."""
    from PIL import Image

    model = lt.load("zoo:digits")
    images = torch.rand(1000, 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def measured() -> Row:
        box = lt.BlackBox(model)
        box(images[:2])
        started = time.perf_counter()
        box(images)
        batched = time.perf_counter() - started
        started = time.perf_counter()
        for image in images[:200]:
            stretched = (image - image.min()) / (image.max() - image.min())
            picture = Image.fromarray((stretched[0].numpy() * 255).astype(np.uint8))
            with torch.no_grad():
                model.logits(torch.from_numpy(np.array(picture)).float()[None, None] / 255).softmax(1)
        looped = (time.perf_counter() - started) * 5
        return {"batched, s": batched, "one by one, s": looped, "times": looped / batched}

    rows.add("speed", "1,000 digits", measured)


SECTIONS = {
    "digits": (digits, "Counterfactuals of digits; the oracle is a support vector machine on the pixels"),
    "tables": (tables, "Counterfactuals of tables; the model is a network, the oracle a random forest"),
    "attribution": (attribution, "Attributions of digits: insertion less deletion with three replacements"),
    "single": (single, "Attributions of creatures: single deletion against true parts, insertion less deletion"),
    "errors": (errors, "Do the standard errors hold?"),
    "speed": (speed, "Asking in batches"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(fresh=given.fresh, quick=given.quick)
    for name in given.sections or SECTIONS:
        SECTIONS[name][0](rows)
        if not given.quick:
            text = [(title, markdown(rows.of(key))) for key, (_, title) in SECTIONS.items() if rows.of(key)]
            write_results(RESULTS, title="FreeMCG, measured", command="python benchmarks/freemcg.py", sections=text)


if __name__ == "__main__":
    main()
