"""Exactness, fidelity to the ownership, and signed features: sections of benchmarks/parts.py."""

import numpy as np
import torch
from _parts_common import books, creatures_model, fit_features
from torch import Tensor

import likethat as lt
from likethat import papers
from likethat.explainers.parts.cells import ClassCells, cells_of, seeded
from likethat.explainers.parts.splitting import split_by_sharing
from likethat.functional.factorisation import encode, factorise, relative_error, singular_parts
from likethat.functional.sharing import closed_form_shares, ownership_regression, ownership_shares
from likethat.functional.starts import start_parts

__all__ = ["exactness", "fidelity", "signed"]


def exactness() -> list[str]:
    """The worst class of every way: float32 sum of its parts against its head vector."""
    model, book = creatures_model(), books()[0]
    rows = ["| way | worst relative error of a head vector | worst relative error of a logit |", "|---|---|---|"]
    for name, options in {
        "ownership": {}, "ownership, 8 parts": {"n_parts": 8}, "shared, closed form": {"algorithm": "shared"},
        "shared, Nelder-Mead": {},
        "shared, equal": {"algorithm": "shared", "sharing": "equal"},
    }.items():  # fmt: skip
        method = papers.PartPrototypes if "Nelder-Mead" in name else lt.PartPrototypes
        bank = method(n_prototypes=1, **options).fit(model, book)
        head = model.head.weight.cpu()
        sums = torch.stack([bank.coordinates.summands(target).float().sum(0) for target in range(model.n_classes)])
        worst = float(((sums - head).norm(dim=1) / head.norm(dim=1)).max())
        gaps = [abs(bank.explain(book[index], target).gap()) for index in range(24) for target in (index % 24, 0)]
        rows.append(f"| {name} | {worst:.1e} | {max(gaps):.1e} |")
    return rows


def fidelity() -> list[str]:
    """Held-out R^2 of the parts' heat maps to each part's share of the evidence, by way and number of parts."""
    model, features = creatures_model(), fit_features()
    members = [cells_of(features, features.labels, target, limit=8192, seed=0) for target in range(model.n_classes)]
    rows = ["| parts | way | held-out R² to the ownership | parts against their own class |", "|---|---|---|---|"]
    for n_parts in (3, 4, 5):
        scores: dict[str, list[tuple[float, float]]] = {"shared": [], "ownership": []}
        for member in members:
            for way, score in _fidelity_of(member, n_parts, model.head.weight[member.target].cpu()).items():
                scores[way].append(score)
        rows += [f"| {n_parts} | {way} | {np.mean([r for r, _ in found]):.2f} | {np.mean([n for _, n in found]):.1%} |"
                 for way, found in scores.items()]  # fmt: skip
    return rows


def _fidelity_of(member: ClassCells, n_parts: int, head_vector: Tensor) -> dict[str, tuple[float, float]]:
    learn, check = member.halves()
    cells = member.cells[learn][None]
    found = factorise(cells, singular_parts(cells, n_parts))
    shares = ownership_shares(encode(member.cells, found.parts[0]))
    vectors = {
        "shared": split_by_sharing(member.cells[learn], found.parts[0], head_vector, shares=closed_form_shares),
        "ownership": ownership_regression(member.cells[learn], shares[learn], head_vector),
    }
    evidence = shares[check].double() * (member.cells[check].double() @ head_vector.double())[:, None]
    result = {}
    for way, parts in vectors.items():
        maps = member.cells[check].double() @ parts.double().T
        r2 = 1 - (maps - evidence).square().sum(0) / (evidence - evidence.mean(0)).square().sum(0)
        result[way] = float(r2.mean()), float((maps.reshape(-1, n_parts).mean(0) < 0).double().mean())
    return result


def signed() -> list[str]:
    """Features that can be negative: semi-NMF, and NMF of the positive and negative halves side by side."""
    model, features = creatures_model(), fit_features()
    found: dict[str, list[tuple[float, float]]] = {"semi-NMF": [], "NMF of [x+, x-]": []}
    for target in range(model.n_classes):
        member = cells_of(features, features.labels, target, limit=4096, seed=0)
        cells = torch.nn.functional.layer_norm(member.cells, member.cells.shape[1:])[None]
        split = torch.cat([cells.clamp_min(0), (-cells).clamp_min(0)], dim=2)
        draws = [torch.rand(1, 4, generator=seeded(0, target, purpose)) for purpose in (2, 3)]
        semi = [factorise(cells, start_parts(cells, draw), signed=True).parts[0] for draw in draws]
        halves = [factorise(split, start_parts(split, draw)).parts[0].chunk(2, dim=1) for draw in draws]
        joined = [torch.nn.functional.normalize(plus - minus, dim=1) for plus, minus in halves]
        for name, (first, second) in (("semi-NMF", semi), ("NMF of [x+, x-]", joined)):
            error = relative_error(cells[0], encode(cells[0], first, sweeps=200), first)
            found[name].append((float(error), float((first @ second.T).amax(1).mean())))
    rows = ["Cells of the creatures after a LayerNorm, 4 parts.", "", "| | relative error | cosine between starts |",
            "|---|---|---|"]  # fmt: skip
    return rows + [f"| {name} | {np.mean([e for e, _ in pairs]):.3f} | {np.mean([c for _, c in pairs]):.2f} |"
                   for name, pairs in found.items()]  # fmt: skip
