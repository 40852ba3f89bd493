"""Counterfactuals through generators that nobody here made: plain functions from latents to images, no encoder.

    python benchmarks/outside.py            # about half an hour on one core; a stopped run goes on
    python benchmarks/outside.py --fresh    # from the beginning

Generators, networks and judges are trained here in plain torch: a VAE's decoder and a GAN on real handwriting
(28 x 28), a decoder on drawings (64 x 64; its weights are kept in out/). Sources are held out from all of them. The
network is asked, 200 questions each, and the judge, another network with other weights, says whether it sees the
wanted class too. Beside them the nearest real image that the network gives to the class as surely: what can be had
without a generator.
Writes benchmarks/results/outside.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from _drawn_decoder import LATENT as LATENT_OF_DRAWINGS
from _drawn_decoder import trained
from _rows import Row, Rows, run
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from torch import Tensor, nn

import likethat as lt
from likethat.explainers.prodg.controls import best_of_prior
from likethat.features import collect
from likethat.generators import Generated

BUDGET, N_SOURCES = 200, 20
LATENT = {"vae": 16, "gan": 32, "drawings": LATENT_OF_DRAWINGS}
HEADINGS = {
    "digits": "Real handwriting, 28 x 28",
    "drawings": "Drawings, 64 x 64",
    "range": "What the ranges of the decoders hold",
    "prodg": "ProDG above the best of as many samples",
}
NOTES = {
    "digits": f"\n\n{N_SOURCES} held-out digits of scikit-learn's (8 x 8, made larger), each to the class three "
    f"further; {BUDGET} questions, at the default confidence (.98). *Reached*: the network has the wanted class first, "
    "sure or not; *judged*: the judge's first class is the wanted one. *Changed*: mean absolute difference of a pixel. "
    "In brackets: 95 % interval. The GAN's row was measured before latents were found by gradients.",
    "drawings": f"\n\n{N_SOURCES} held-out drawings, to the class that the network has second; the network is "
    "`zoo:creatures`, the judge `zoo:creatures-vit`; the decoder learned from 15,008 other drawings "
    "(`_drawn_decoder.py`, ten minutes of a core), and what it holds stands below.",
    "range": "\n\nNo search: 397 held-out digits and 400 drawings, what their VAE makes of them, and 400 draws of its "
    "prior. *Right*: the true class; *agree*: both have the same class; *sure*: share to which the network gives .9 or "
    "more, and how many of these the judge sees so.",
    "prodg": "\n\n16 channels of `zoo:creatures`, five prototypes each, at the default options: mean purity of what "
    "climbed, of the best of as many samples as were made on the way, and the mean over channels of the difference "
    "with its 95 % interval. `prodg.py controls` has the same for the zoo's own generator.",
}


@dataclass(frozen=True)
class Case:
    """What is asked: generator, network, judge, sources with their targets, and real images."""

    generator: Callable[[Tensor], Tensor]
    latent: int
    network: Callable[[Tensor], Tensor]
    judge: Callable[[Tensor], Tensor]
    sources: Tensor
    targets: list[int]
    real: Tensor


@cache
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)[:, None]
    larger = nn.functional.interpolate(images, size=28, mode="bicubic", align_corners=False)
    return larger.clamp(0, 1), torch.tensor(data.target)


TRAINED = 1400  # of 1,797 digits


@cache
def classifier(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    images, labels = digits()
    network = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(15):
        for rows in torch.randperm(TRAINED).split(64):
            noisy = images[rows] + 0.1 * torch.randn(len(rows), 1, 28, 28)
            loss = nn.functional.cross_entropy(network(noisy), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@cache
def vae() -> tuple[nn.Module, nn.Module]:
    """Train an encoder and a decoder of digits."""
    torch.manual_seed(0)
    images, latent = digits()[0][:TRAINED].flatten(1), LATENT["vae"]
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 2 * latent))
    decoder = nn.Sequential(
        nn.Linear(latent, 400), nn.ReLU(), nn.Linear(400, 784), nn.Sigmoid(), nn.Unflatten(1, (1, 28, 28))
    )
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], 1e-3)
    for _ in range(60):
        for rows in torch.randperm(TRAINED).split(64):
            loss = elbo(encoder, decoder, images[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return encoder.eval(), decoder.eval()


def elbo(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    mean, log_variance = encoder(x).chunk(2, 1)
    made = decoder(mean + torch.randn_like(mean) * (log_variance / 2).exp())
    error = nn.functional.binary_cross_entropy(made, x.reshape(made.shape), reduction="sum") / len(x)
    return error - 0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()


@cache
def gan() -> Callable[[Tensor], Tensor]:
    """Train a generator against a discriminator that is kept smooth (R1, Mescheder et al., 2018)."""
    torch.manual_seed(0)
    images, latent = digits()[0][:TRAINED], LATENT["gan"]
    generator = nn.Sequential(
        nn.Linear(latent, 256), nn.LeakyReLU(0.2), nn.Linear(256, 64 * 49), nn.LeakyReLU(0.2),
        nn.Unflatten(1, (64, 7, 7)),
        nn.Upsample(scale_factor=2), nn.Conv2d(64, 32, 3, 1, 1), nn.LeakyReLU(0.2),
        nn.Upsample(scale_factor=2), nn.Conv2d(32, 1, 3, 1, 1), nn.Sigmoid(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
        nn.Linear(64 * 49, 1),
    )  # fmt: skip
    first, second = (
        torch.optim.Adam(part.parameters(), 2e-4, betas=(0.5, 0.99)) for part in (generator, discriminator)
    )
    for _ in range(120):
        for rows in torch.randperm(TRAINED).split(64):
            real = images[rows].clone().requires_grad_(True)
            made = generator(torch.randn(len(rows), latent))
            said = discriminator(real)
            slope = torch.autograd.grad(said.sum(), real, create_graph=True)[0].square().sum((1, 2, 3)).mean()
            loss = nn.functional.softplus(-said).mean() + nn.functional.softplus(discriminator(made.detach())).mean()
            second.zero_grad()
            (loss + 0.5 * slope).backward()
            second.step()
            first.zero_grad()
            nn.functional.softplus(-discriminator(made)).mean().backward()
            first.step()
    return generator.eval()


def of_digits(generator: Callable[[Tensor], Tensor], latent: int) -> Case:
    images = digits()[0]
    network, judge = classifier(1), classifier(2)
    sources = images[TRAINED :: (len(images) - TRAINED) // N_SOURCES][:N_SOURCES]
    targets = [(int(one) + 3) % 10 for one in network(sources).argmax(1)]
    return Case(generator, latent, network, judge, sources, targets, images[:TRAINED])


def of_drawings() -> Case:
    held_out, others = lt.creatures(N_SOURCES, seed=9, size=64), lt.creatures(1000, seed=11, size=64)
    network, judge = (lt.load(name).network for name in ("zoo:creatures", "zoo:creatures-vit"))
    sources = torch.stack([held_out[place].image for place in range(N_SOURCES)])
    with torch.no_grad():
        targets = network(sources).topk(2).indices[:, 1].tolist()
    real = torch.stack([others[place].image for place in range(len(others))])
    return Case(trained()[1], LATENT["drawings"], network, judge, sources, targets, real)


@torch.no_grad()
def judged(case: Case, changed: list[Tensor], reached: list[bool]) -> Row:
    """Return how many were reached, how many the judge sees so, and how much was changed."""
    images = torch.stack(changed)
    sees = case.judge(images).argmax(1) == torch.tensor(case.targets)
    off = [float((one - source).abs().mean()) for one, source in zip(images, case.sources, strict=True)]
    return {
        "reached": counted(sum(reached)),
        "judged so": counted(int(sum(bool(one) and is_there for one, is_there in zip(sees, reached, strict=True)))),
        "changed": f"{sum(off) / len(off):.3f}",
    }


def counted(n: int) -> str:
    low, high = binomtest(n, N_SOURCES).proportion_ci(method="wilson")
    return f"{n} of {N_SOURCES} ({100 * low:.0f} to {100 * high:.0f} %)"


def through(case: Case) -> Row:
    """Search a counterfactual of each source through the generator."""
    method = lt.FreeMCG(lt.load_generator(case.generator, latent_dim=case.latent), seed=0)
    changed, reached, queries = [], [], 0
    for source, target in zip(case.sources, case.targets, strict=True):
        box = lt.BlackBox(case.network)
        found = method.counterfactual(box, source, target, budget=BUDGET)
        image = found.best.input
        assert isinstance(image, Tensor)
        changed.append(image[0])
        reached.append(bool(found.status))
        queries += found.queries
    return {**judged(case, changed, reached), "questions": queries / N_SOURCES}


@torch.no_grad()
def nearest(case: Case) -> Row:
    """Take the nearest real image that the network gives to the class with .98 against the next."""
    logits = case.network(case.real)
    changed, reached = [], []
    for source, target in zip(case.sources, case.targets, strict=True):
        others = logits.clone()
        others[:, target] = -torch.inf
        sure = (logits[:, target] - others.amax(1) >= torch.logit(torch.tensor(0.98))).nonzero()[:, 0]
        far = (case.real[sure] - source).abs().mean((1, 2, 3))
        reached.append(bool(len(sure)))
        changed.append(case.real[sure[far.argmin()]] if len(sure) else source)
    return judged(case, changed, reached)


def on_digits(rows: Rows) -> None:
    """Measure both generators of handwriting."""
    rows.add("digits", "decoder of a VAE", lambda: through(of_digits(vae()[1], LATENT["vae"])))
    rows.add("digits", "GAN", lambda: through(of_digits(gan(), LATENT["gan"])))
    rows.add("digits", "nearest real digit", lambda: nearest(of_digits(vae()[1], LATENT["vae"])))


def on_drawings(rows: Rows) -> None:
    """Measure the decoder of drawings."""
    rows.add("drawings", "decoder of a VAE", lambda: through(of_drawings()))
    rows.add("drawings", "nearest real drawing", lambda: nearest(of_drawings()))


@torch.no_grad()
def seen(case: Case, images: Tensor, labels: Tensor | None = None) -> Row:
    """Return what network and judge see in pictures, and how often they agree."""
    ours, theirs = (torch.cat([part(some) for some in images.split(64)]) for part in (case.network, case.judge))
    agree, sure = ours.argmax(1) == theirs.argmax(1), ours.softmax(1).amax(1) >= 0.9
    right = {} if labels is None else {
        name: f"{float((said.argmax(1) == labels).double().mean()):.2f}"
        for name, said in (("network right", ours), ("judge right", theirs))
    }  # fmt: skip
    return right | {
        "agree": f"{float(agree.double().mean()):.2f}", "sure": f"{float(sure.double().mean()):.2f}",
        "of these agree": f"{int((agree & sure).sum())} of {int(sure.sum())}",
    }  # fmt: skip


def on_ranges(rows: Rows) -> None:
    """Measure what the decoders can make at all, without a search."""

    @cache
    def handwriting() -> tuple[Case, Tensor, Tensor]:
        images, labels = digits()
        return of_digits(vae()[1], LATENT["vae"]), images[TRAINED:], labels[TRAINED:]

    @cache
    def drawings() -> tuple[Case, Tensor, Tensor]:
        source = lt.creatures(400, seed=12, size=64)
        images = torch.stack([source[place].image for place in range(len(source))])
        return of_drawings(), images, torch.tensor([source[place].label for place in range(len(source))])

    def of_vae() -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        encoder, decoder = vae()
        return lambda images: encoder(images).chunk(2, 1)[0], decoder

    _range(rows, "digits", handwriting, of_vae)
    _range(rows, "drawings", drawings, trained)


def _range(
    rows: Rows,
    what: str,
    given: Callable[[], tuple[Case, Tensor, Tensor]],
    parts: Callable[[], tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]],
) -> None:
    def rebuilt() -> Row:
        case, images, labels = given()
        encode, decode = parts()
        with torch.no_grad():
            made = [decode(encode(some)) for some in images.split(64)]
        return seen(case, torch.cat(made), labels)

    def anything() -> Row:
        case = given()[0]
        latents = torch.randn(400, case.latent, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            made = [case.generator(some) for some in latents.split(64)]
        return seen(case, torch.cat(made))

    rows.add("range", f"{what}, as they are", lambda: seen(*given()))
    rows.add("range", f"{what}, rebuilt", rebuilt)
    rows.add("range", f"{what}, drawn from the prior", anything)


def on_prototypes(rows: Rows) -> None:
    """Measure ProDG through the decoder of drawings."""

    def climbed() -> Row:
        model, generator = lt.load("zoo:creatures"), lt.load_generator(trained()[1], latent_dim=LATENT["drawings"])
        channels = list(range(0, 256, 16))
        bank = lt.ProDG(generator, controls=False).fit(model, channels=channels)
        made = int(bank.provenance.measures["generator_calls"])
        features = collect(model, Generated(generator, 1000))
        units, many = torch.tensor(channels), Generated(generator, made)
        samples = best_of_prior(model, many, features, bank.mixing, units, n=5)
        purity = torch.tensor([[one.purity for one in bank.prototypes_of(unit)] for unit in channels]).mean(1)
        gain = purity - samples
        error = 1.96 * float(gain.std()) / len(gain) ** 0.5
        return {
            "climbed": f"{float(purity.mean()):.3f}", "best of as many samples": f"{float(samples.mean()):.3f}",
            "above": f"{float(gain.mean()):.3f} ± {error:.3f}", "images made": made,
        }  # fmt: skip

    rows.add("prodg", "decoder of drawings", climbed)


def main() -> None:
    """Parse the command line and measure."""
    folder = Path(__file__).parent
    work = {"digits": on_digits, "drawings": on_drawings, "range": on_ranges, "prodg": on_prototypes}
    run(
        work, store=folder.parent / "out" / "outside.json",
        results=folder / "results" / "outside.md", title="Generators that nobody here made, measured",
        headings=HEADINGS, notes=NOTES, description=__doc__,
    )  # fmt: skip


if __name__ == "__main__":
    main()
