"""ProDG: prototypes without data, beside those with data, beside samples, random weights and the release's way.

    python benchmarks/prodg.py                  all sections, about an hour on a core
    python benchmarks/prodg.py creatures        one of them
    python benchmarks/prodg.py --quick          a few channels; minutes, nothing is written

Rows that were finished are kept in benchmarks/.cache/prodg.json; --fresh measures them again.
Nothing here is seen by `ProDG` itself: held-out drawings and true parts are only measured with.
"""

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from _data import CACHE as FOLDER
from _data import drawn
from _part_reader import part_in, part_reader
from _reference_prodg import ReferenceProdg
from _rows import Row, Rows, run

import likethat as lt
from likethat import papers
from likethat.coordinates import Rotation
from likethat.explainers.prodg.channels import best_samples, respond
from likethat.explainers.prodg.controls import best_of_prior, with_random_weights
from likethat.explanations import Bank
from likethat.features import collect
from likethat.generators import Generated, load_generator
from likethat.metrics import channel_stability, evaluate, held_out_purity, mean_coverage

SECTIONS = {
    "creatures": "Creatures: 64 of 256 channels climb; measured on 600 drawings that no row has seen",
    "used": "Creatures: every channel that is among the four shown in any of 300 explanations",
    "controls": "Is it the classifier? Creatures, 16 channels",
    "own eyes": "Why purity as the random network itself sees it is no control",
    "class": "One class of creatures: the 12 channels that matter to it",
    "calls": "Images made until the purity is reached",
    "digits": "Digits: all channels; measured on the test digits",
}
NOTE = """
*Purity, made*: mean purity of the prototypes of the channels that climbed. *Held out*: mean purity of the five
drawings that activate each of all 256 channels most, as EPIC's benchmark has it. *Box match*: share of shown rows of
150 explanations of drawings whose box shows the part that the channel's top drawings show. *Consistency*: share of
channels whose prototypes' boxes show one part in 80 %. *Same part*: of the channels that climbed and are among the
four shown in any of 300 explanations, the share that have a prototype of the part that the channel shows most often on
its five top drawings. What stands in a box of a made picture is read by a network trained on other drawings
(`_part_reader.py`; right in 93 % of the boxes of drawings).
"""


class Judge:
    """What is known of the creatures: drawings nobody has learned from, and who reads parts off made pictures."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.held_out = drawn(600, seed=9)
        self.features = collect(model, self.held_out)
        self.reader = part_reader(drawn(4000, seed=1))

    def row(self, bank: Bank, climbed: list[int], *, explained: int = 150) -> Row:
        """Return how good a bank is on the drawings."""
        measures = evaluate(bank, self.held_out, n_explained=explained, n_deleted=2)
        return {
            "purity, made": self.made_purity(bank, climbed),
            "held out": measures.purity,
            "box match": measures.box_match,
            "coverage of 4": measures.coverage,
            "consistency": self.consistency(bank, climbed),
            "same part": self.same_part(bank, climbed),
        }

    def made_purity(self, bank: Bank, climbed: list[int]) -> float:
        """Return the mean purity of the prototypes of some channels."""
        values = [item.purity for unit in climbed for item in bank.prototypes_of(unit)]
        return sum(values) / max(1, len(values))

    def parts_made(self, bank: Bank, unit: int) -> list[str]:
        """Return what stands in the boxes of a channel's prototypes, as the reader sees it."""
        items = bank.prototypes_of(unit)
        if not items:
            return []
        pictures = torch.stack([torch.from_numpy(bank.images[item.image].copy()) for item in items])
        return part_in(self.reader, pictures.permute(0, 3, 1, 2).float() / 255, [item.box for item in items])

    def consistency(self, bank: Bank, climbed: list[int]) -> float:
        """Return the share of channels whose prototypes' boxes show one part in four of five."""
        found = [Counter(self.parts_made(bank, unit)).most_common(1) for unit in climbed]
        return sum(bool(top) and top[0][1] >= 4 for top in found) / len(found)

    def parts_drawn(self, bank: Bank, unit: int) -> str:
        """Return the part that a channel shows most often on the five drawings that activate it most."""
        from likethat.features import read_peaks
        from likethat.functional import cell_box
        from likethat.metrics import PartTruth
        from likethat.search import top_rows

        reader = bank.mixing[unit : unit + 1]
        rows, _ = top_rows(self.features.means, reader, 5)
        cells = read_peaks(self.features.maps, rows, reader).cells[0].tolist()
        truth, columns = PartTruth(self.held_out), self.features.grid[1]
        boxes = [cell_box((cell // columns, cell % columns), grid=self.features.grid, size=(96, 96)) for cell in cells]
        names = [truth.at(int(row), box) for row, box in zip(rows[0].tolist(), boxes, strict=True)]
        return Counter(names).most_common(1)[0][0]

    def same_part(self, bank: Bank, climbed: list[int]) -> float:
        """Return the share of used channels with a prototype of the part that they show on drawings."""
        used = sorted(set(self.used(bank)) & set(climbed))
        agree = [self.parts_drawn(bank, unit) in self.parts_made(bank, unit) for unit in used]
        return sum(agree) / max(1, len(agree))

    def used(self, bank: Bank) -> list[int]:
        """Return the channels among the four of highest contribution for any of 300 drawings."""
        head = bank.head.weight.cpu() @ bank.mixing.T
        values = (self.features.pooled[:300] @ bank.mixing.T) * head[self.features.predicted[:300]]
        return sorted(set(values.topk(4, dim=1).indices.flatten().tolist()))


def creatures(rows: Rows) -> None:
    model, generator = lt.load("zoo:creatures"), load_generator("zoo:creatures")
    judge = Judge(model)
    channels = list(range(0, 256, 64 if rows.quick else 4))
    n_samples = 300 if rows.quick else 1000
    ours = lt.ProDG(generator, n_samples=n_samples, controls=False)
    calls = n_samples + len(channels) * 5 * (ours.steps + 1)

    def with_data() -> Row:
        bank = lt.EPIC().fit(model, lt.Images(drawn(4000, seed=1).images()))
        return {"images made": 0, **judge.row(bank, channels)}

    def made(method: lt.ProDG, channels: list[int] = channels) -> Row:
        started = time.perf_counter()
        bank = method.fit(model, channels=channels)
        seconds = time.perf_counter() - started
        measures = bank.provenance.measures
        row = {"images made": int(measures["generator_calls"]), **judge.row(bank, channels)}
        return row | {"dead": int(measures["dead_channels"]), "s": seconds}

    def of_prior() -> Row:
        source = Generated(generator, calls)
        started = time.perf_counter()
        bank = lt.EPIC().fit(model, source)
        seconds = time.perf_counter() - started
        return {"images made": calls, **judge.row(bank, channels), "s": seconds}

    rows.add("creatures", "EPIC on 4,000 drawings", with_data)
    rows.add("creatures", "ProDG", lambda: made(ours))
    rows.add(
        "creatures",
        "ProDG, samples alone",
        lambda: made(lt.ProDG(generator, n_samples=n_samples, steps=0, controls=False)),
    )
    rows.add("creatures", "EPIC on as many samples", of_prior)

    def all_used(method: lt.ProDG) -> Row:
        first = lt.ProDG(generator, n_samples=n_samples, steps=0, controls=False).fit(model)
        used = judge.used(first)
        return {**made(method, used), "channels": len(used)}

    if not rows.quick:
        rows.add("used", "ProDG", lambda: all_used(ours))
        samples = lt.ProDG(generator, n_samples=n_samples, steps=0, controls=False)
        rows.add("used", "ProDG, samples alone", lambda: all_used(samples))
    if not rows.quick:
        rows.add(
            "creatures", "ProDG, no gradient (evolution)",
            lambda: made(lt.ProDG(generator, n_samples=n_samples, algorithm="evolution", controls=False)),
        )  # fmt: skip
    rows.add("creatures", "the release's way", lambda: _release(judge, generator, calls, channels))
    rows.add("creatures", "the release's way, latents stepping 10 times as far",
             lambda: _release(judge, generator, calls, channels, learning_rate=1e-2))  # fmt: skip


def _release(judge: Judge, generator: Any, calls: int, channels: list[int], **options: Any) -> Row:
    """Run the release's loop and show fresh images of its latents as prototypes."""
    started = time.perf_counter()
    reference = ReferenceProdg(judge.model, generator, **options)
    reference.run(calls)
    seconds = time.perf_counter() - started
    bank = _bank_of_latents(judge.model, generator, reference.mixing().detach(), reference.latents, channels)
    return {"images made": reference.calls, **judge.row(bank, channels), "s": seconds}


@torch.no_grad()
def _bank_of_latents(model: Any, generator: Any, mixing: Tensor, latents: Any, channels: list[int]) -> Bank:
    """Return a bank whose prototypes are images of given latents, by the library's own gathering."""
    from likethat.explanations import Provenance
    from likethat.fitting.prototypes import Candidates, gather_prototypes

    rotation = Rotation(mixing, model.head.weight)
    source = Generated(generator, latents=latents(torch.tensor(channels), 5).flatten(0, 1))
    features = collect(model, source)
    among = [
        Candidates(units=torch.tensor([unit]), rows=torch.arange(5 * place, 5 * place + 5))
        for place, unit in enumerate(channels)
    ]
    prototypes, pictures = gather_prototypes(model, source, features, rotation, n=5, among=among, with_negative=False)
    about = Provenance(
        method="ProDG", options={}, seed=0, fingerprint=model.fingerprint, model=model.name, n_images=len(source)
    )
    return Bank(
        coordinates=rotation, prototypes=prototypes, images=pictures, head=model.head, class_names=model.class_names,
        provenance=about, usage=torch.zeros(rotation.n_units).numpy(), model=model,
    )  # fmt: skip


def controls(rows: Rows) -> None:
    """The two controls that a user sees, and what the random network's own measures would say."""
    model, generator = lt.load("zoo:creatures"), load_generator("zoo:creatures")
    channels = list(range(0, 256, 64 if rows.quick else 16))
    method = lt.ProDG(generator, n_samples=300 if rows.quick else 1000)

    def shown() -> Row:
        bank = method.fit(model, channels=channels)
        measures = bank.provenance.measures
        return {
            "these prototypes": measures["purity"],
            "best of as many samples": measures["control_prior_purity"],
            "made for random weights": measures["control_random_purity"],
            "beside it": measures["purity_beside_random"],
        }

    rows.add("controls", "zoo:creatures", shown)

    def own_eyes(name: str, explained: Any) -> None:
        def make() -> Row:
            source = Generated(generator, 300 if rows.quick else 1000)
            bank = lt.EPIC().fit(explained, source)
            features = collect(explained, source)
            starts = best_samples(features, bank.mixing, torch.arange(bank.n_units), 5)
            measures = evaluate(bank, drawn(600, seed=9), n_explained=100, n_deleted=2)
            return {
                "purity of samples, its own channels": float(starts.purity.mean()),
                "consistency on drawings": measures.part_consistency,
                "box match on drawings": measures.box_match,
                "coverage of 4": measures.coverage,
            }

        rows.add("own eyes", name, make)

    own_eyes("trained", model)
    views = torch.stack([Generated(generator, 64)[index].image for index in range(64)]).mul(255).round().to(torch.uint8)
    for seed in (0, 1):
        own_eyes(f"random weights {seed}", with_random_weights(model, views, seed=seed))


def one_class(rows: Rows) -> None:
    """A user's usual question: one class, all controls."""
    model, generator = lt.load("zoo:creatures"), load_generator("zoo:creatures")
    judge = Judge(model)
    for target in (3,) if rows.quick else (3, 11, 19):

        def fit(target: int = target) -> Row:
            cpu = time.process_time()
            bank = lt.ProDG(generator).fit(model, target=target)
            cpu = time.process_time() - cpu
            climbed = sorted({item.unit for item in bank.prototypes if item.image.startswith("made-")})
            measures = bank.provenance.measures
            return {
                "CPU s": cpu,
                "s": bank.provenance.seconds,
                "purity": measures["purity"],
                "samples": measures["control_prior_purity"],
                "random weights": measures["control_random_purity"],
                "consistency": judge.consistency(bank, climbed),
                "same part": judge.same_part(bank, climbed),
            }

        rows.add("class", model.class_names[target], fit)


def calls(rows: Rows) -> None:
    """How many images each way makes until its prototypes are as pure as ours are after 1,000."""
    model, generator = lt.load("zoo:creatures"), load_generator("zoo:creatures")
    held_out = collect(model, drawn(600, seed=9))
    channels = torch.arange(0, 256, 16)

    def ours(n: int) -> Row:
        source = Generated(generator, n)
        features = collect(model, source)
        bank = lt.ProDG(generator, n_samples=n, steps=0, controls=False).fit(model, channels=channels.tolist())
        starts = best_samples(features, bank.mixing, channels, 5)
        return {"images made": n, "purity, made": float(starts.purity.mean()),
                "held out": held_out_purity(held_out, bank.coordinates)}  # fmt: skip

    for n in (100, 300, 1000):
        rows.add("calls", f"ours, {n} samples", lambda n=n: ours(n))

    def release(rate: float) -> None:
        reference = ReferenceProdg(model, generator, learning_rate=rate)
        spent = 0.0
        for n in (1000, 2000, 5000):

            def make(n: int = n) -> Row:
                nonlocal spent
                started = time.perf_counter()
                reference.run(n)
                spent += time.perf_counter() - started
                mixing = reference.mixing().detach()
                with torch.no_grad():
                    made = generator(reference.latents(channels, 5).flatten(0, 1))
                    found = respond(model, made, mixing[channels.repeat_interleave(5)])
                rotation = Rotation(mixing, model.head.weight)
                return {"images made": reference.calls, "purity, made": float(found.purity.mean()),
                        "held out": held_out_purity(held_out, rotation), "s": spent}  # fmt: skip

            rows.add("calls", f"the release's way, {n:,} images, latents at {rate:g}", make)

    if not rows.quick:
        release(1e-3)
        release(1e-2)


def digits(rows: Rows) -> None:
    model, generator = lt.load("zoo:digits"), load_generator("zoo:digits")
    train, test = lt.digits(split="train"), collect(model, lt.digits(split="test"))
    channels = list(range(0, model.n_channels, 8 if rows.quick else 1))

    def row(bank: Bank) -> Row:
        values = [item.purity for unit in channels for item in bank.prototypes_of(unit)]
        coordinates = bank.coordinates
        assert isinstance(coordinates, Rotation)
        return {
            "purity, made": sum(values) / len(values),
            "held out": held_out_purity(test, coordinates),
            "coverage of 4": mean_coverage(test, coordinates),
        }

    def made(method: Any = lt.ProDG, **options: Any) -> Row:
        first = method(generator, controls=False, **options)
        started = time.perf_counter()
        bank = first.fit(model, channels=channels)
        seconds = time.perf_counter() - started
        other = lt.ProDG(generator, steps=0, controls=False, seed=1).fit(model)
        stable = channel_stability(bank.mixing, other.mixing)
        measures = bank.provenance.measures
        return {
            "images made": int(measures["generator_calls"]), **row(bank), "stable": stable.matched,
            "dead": int(measures["dead_channels"]), "s": seconds,
        }  # fmt: skip

    def with_data() -> Row:
        bank, other = lt.EPIC().fit(model, train), lt.EPIC().fit(model, _half(train))
        return {"images made": 0, **row(bank), "stable": channel_stability(bank.mixing, other.mixing).matched}

    def of_prior() -> Row:
        n = 1000 + len(channels) * 5 * 13
        source = Generated(generator, n)
        bank = lt.ProDG(generator, steps=0, controls=False).fit(model)
        units = torch.tensor(channels)
        features = collect(model, Generated(generator, 1000))
        best = best_of_prior(model, source, features, bank.mixing, units, n=5)
        return {
            "images made": n,
            "purity, made": float(best.mean()),
            "held out": held_out_purity(test, bank.coordinates),
        }

    def release() -> Row:
        n = 1000 + len(channels) * 5 * 13
        reference = ReferenceProdg(model, generator, learning_rate=1e-2)
        reference.run(n)
        bank = _bank_of_latents(model, generator, reference.mixing().detach(), reference.latents, channels)
        return {"images made": reference.calls, **row(bank)}

    rows.add("digits", "EPIC on the training digits", with_data)
    rows.add("digits", "ProDG", made)
    rows.add("digits", "ProDG, no gradient (evolution)", lambda: made(algorithm="evolution"))
    rows.add("digits", "ProDG, no gradient (CMA-ES)", lambda: made(algorithm="cma-es"))
    rows.add("digits", "ProDG, rotation by Adam", lambda: made(papers.ProDG))
    rows.add("digits", "best of as many samples", of_prior)
    rows.add("digits", "the release's way", release)


def _half(source: Any) -> list[Tensor]:
    return [source[index].image for index in range(0, len(source), 2)]


WORK = {"creatures": creatures, "controls": controls, "class": one_class, "calls": calls, "digits": digits}


def main() -> None:
    """Parse the command line and measure."""
    run(
        WORK, store=FOLDER / "prodg.json", results=Path(__file__).parent / "results" / "prodg.md",
        title="ProDG, measured", headings=SECTIONS, notes={"creatures": NOTE}, description=__doc__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
