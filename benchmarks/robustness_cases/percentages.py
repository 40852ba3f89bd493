"""Percentages are the network's own: one logit, labels, softmax, temperature, half precision, page and black box."""

import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import likethat as lt
from likethat.report.sentences import headline, lead, verdict
from robustness_cases import EITHER, REFUSED, RIGHT, case, expect

KIND = "percentages"


class Ending(nn.Module):
    """Grey images of 8 x 8: four channels, their means, a head, and whatever comes after it."""

    def __init__(self, n_classes: int, end: Callable[[Tensor], Any] | None = None, *, push: float = 0.0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(n_classes)
        self.features = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(4, n_classes)
        self.end = end
        with torch.no_grad():
            self.features.weight.copy_(torch.randn(4, 1, 3, 3, generator=rng))
            self.features.bias.copy_(torch.rand(4, generator=rng))
            self.head.weight.copy_(2 * torch.randn(n_classes, 4, generator=rng))
            self.head.bias.copy_(0.3 * torch.randn(n_classes, generator=rng) + push)

    def forward(self, images: Tensor) -> Any:
        """Return what the network returns."""
        logits = self.head(self.features(images).relu().mean((2, 3)))
        return logits if self.end is None else self.end(logits)


class Answer(nn.Module):
    """What Hugging Face's networks carry: a configuration that says what the labels are."""

    def __init__(self, network: nn.Module, problem_type: str) -> None:
        super().__init__()
        self.network = network
        self.config = type("Config", (), {"problem_type": problem_type})()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the logits as Hugging Face's networks do."""
        return {"logits": self.network(images)}


@cache
def pictures(n: int = 12) -> Tensor:
    rng = torch.Generator().manual_seed(7)
    return torch.rand(n, 1, 8, 8, generator=rng)


def network_of(n_classes: int, end: Callable[[Tensor], Any] | None = None, *, push: float = 0.0) -> Ending:
    return Ending(n_classes, end, push=push).eval()


def banked(network: nn.Module, **options: Any) -> lt.Bank:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lt.EPIC(n_prototypes=2).fit(lt.split(network, example=pictures(), **options), pictures())


@torch.no_grad()
def own(network: nn.Module, image: Tensor) -> np.ndarray:
    return network(image[None])[0].double().numpy()


def same_numbers(network: Ending, *, tolerance: float = 1e-6, **options: Any) -> None:
    """Compare every class of some pictures with what the network itself returns."""
    bank = banked(network, **options)
    for image in pictures()[:3]:
        expected = own(network, image)
        for target in range(len(expected)):
            why = bank.explain(image, target)
            expect(why.probability, float(expected[target]), f"probability of class {target}", tolerance=tolerance)
            expect(abs(why.gap()) < 1e-4, True, "that the terms add up to the logit")


ENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "a softmax": lambda z: z.softmax(1),
    "sigmoids": torch.sigmoid,
    "a temperature of 2.5 and a softmax": lambda z: (z / 2.5).softmax(1),
    "a temperature and sigmoids": lambda z: torch.sigmoid(z / 3),
    "a temperature, class offsets and a softmax": lambda z: (1.7 * z + torch.linspace(-1, 1, z.shape[1])).softmax(1),
    "a softmax over its negative values": lambda z: (-z).softmax(1),
}

for name, end in ENDS.items():

    @case(KIND, f"a network that ends in {name}: each class has the network's own number", accepts=RIGHT)
    def _(end: Callable[[Tensor], Tensor] = end) -> None:
        same_numbers(network_of(4, end))


@case(KIND, "a network that ends in a log-softmax: the exponential of what it returns", accepts=RIGHT)
def _() -> None:
    network = network_of(4, lambda z: z.log_softmax(1))
    bank = banked(network)
    expect(
        bank.explain(pictures()[0], 2).probability, float(np.exp(own(network, pictures()[0])[2])), "p", tolerance=1e-6
    )


@case(KIND, "log-sigmoids at the end: the exponential of what it returns", accepts=RIGHT)
def _() -> None:
    network = network_of(3, nn.functional.logsigmoid)
    bank = banked(network)
    expect(
        bank.explain(pictures()[0], 1).probability, float(np.exp(own(network, pictures()[0])[1])), "p", tolerance=1e-6
    )


@case(KIND, "bare logits of several classes: softmax", accepts=RIGHT)
def _() -> None:
    network = network_of(4)
    z = own(network, pictures()[0])
    why = banked(network).explain(pictures()[0], 1)
    expect(why.probability, float(np.exp(z[1]) / np.exp(z).sum()), "softmax by hand", tolerance=1e-6)


@case(KIND, "logits divided by a temperature: softmax of what the network returns, and its logit", accepts=RIGHT)
def _() -> None:
    network = network_of(4, lambda z: z / 4)
    z = own(network, pictures()[0])
    why = banked(network).explain(pictures()[0], 1)
    expect(why.probability, float(np.exp(z[1]) / np.exp(z).sum()), "softmax by hand", tolerance=1e-6)
    expect(why.logit, float(z[1]), "the logit", tolerance=1e-5)


@case(KIND, "a learned temperature as a parameter, then a softmax", accepts=RIGHT)
def _() -> None:
    network = network_of(4)
    network.temperature = nn.Parameter(torch.tensor([1.3]))
    network.end = lambda z: (z / network.temperature).softmax(1)
    same_numbers(network)


@case(KIND, "one logit above 0: the sigmoid, never 100 %", accepts=RIGHT)
def _() -> None:
    network = network_of(1, push=1.0)
    z = float(own(network, pictures()[0])[0])
    why = banked(network, class_names=["tumour"]).explain(pictures()[0])
    expect(why.probability, 1 / (1 + np.exp(-z)), "sigmoid by hand", tolerance=1e-6)
    expect(headline(why).startswith("The model says “tumour” ("), z > 0, headline(why))


@case(KIND, "one logit below 0: the sentence is turned round", accepts=RIGHT)
def _() -> None:
    network = network_of(1, push=-9.0)
    z = float(own(network, pictures()[0])[0])
    why = banked(network, class_names=["tumour"]).explain(pictures()[0])
    expect(z < -2 and why.given == (), True, "a picture that is none")
    expect(why.probability, 1 / (1 + np.exp(-z)), "sigmoid by hand", tolerance=1e-6)
    expect("not “tumour”" in headline(why), True, headline(why))
    expect(verdict(why).startswith("not tumour, "), True, verdict(why))


@case(KIND, "one logit below 0: the rows shown are those that speak against the class", accepts=RIGHT)
def _() -> None:
    why = banked(network_of(1, push=-9.0), class_names=["tumour"]).explain(pictures()[0], top=2)
    totals = np.sort(why.contributions.astype(float) + why.unlocated)
    expect([row.total for row in why.rows], np.array(totals[:2]), "the two most negative", tolerance=1e-5)
    expect("for it" in lead(why, 2).split(";")[0], False, lead(why, 2))


@case(KIND, "one logit with a sigmoid at the end: the network's own number", accepts=RIGHT)
def _() -> None:
    same_numbers(network_of(1, torch.sigmoid))


@case(KIND, "one logit with Platt's scaling and a sigmoid: the network's own number", accepts=RIGHT)
def _() -> None:
    same_numbers(network_of(1, lambda z: torch.sigmoid(0.4 * z - 0.7)))


@case(KIND, "a softmax over one class says 1 for every picture", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(1, lambda z: z.softmax(1)), example=pictures())


@case(KIND, "one logit and outputs='softmax'", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(1), outputs="softmax", example=pictures())


@case(KIND, "two names for one logit", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(1), class_names=["healthy", "tumour"], example=pictures())


@case(KIND, "a contrast where there is one logit", accepts=REFUSED)
def _() -> None:
    banked(network_of(1)).contrast(pictures()[0])


@case(KIND, "independent labels: no softmax, and the page names every label above one half", accepts=RIGHT)
def _() -> None:
    network = network_of(5, torch.sigmoid, push=0.5)
    bank = banked(network, class_names=list("abcde"))
    for image in pictures()[:4]:
        p, why = own(network, image), bank.explain(image)
        expect(sorted(why.given), [i for i in range(5) if p[i] > 0.5], "labels above one half")
        said = headline(why) + lead(why, 2)
        expect([f"“{'abcde'[i]}”" in said for i in why.given[:4]], [True] * len(why.given[:4]), said)


@case(KIND, "independent labels, none above one half: the page says so", accepts=RIGHT)
def _() -> None:
    why = banked(network_of(5, torch.sigmoid, push=-9.0)).explain(pictures()[0])
    expect((why.given, headline(why).startswith("What speaks for")), ((), True), headline(why))
    expect("none of its 5 labels" in lead(why, 2) and "none of its 5 labels" in verdict(why), True, lead(why, 2))


@case(KIND, "independent labels: a label that is given is not said to be another's instead", accepts=RIGHT)
def _() -> None:
    network = network_of(5, torch.sigmoid, push=6.0)
    why = banked(network, class_names=list("abcde")).explain(pictures()[0], int(own(network, pictures()[0]).argmin()))
    expect("instead" in lead(why, 2), False, lead(why, 2))
    expect(headline(why).startswith("The model says"), True, headline(why))


@case(KIND, "contrast of independent labels: 'more than' with both numbers, not 'and not'", accepts=RIGHT)
def _() -> None:
    network = network_of(4, torch.sigmoid, push=4.0)
    why = banked(network, class_names=list("abcd")).contrast(pictures()[0], "a", "b")
    expect("and not" in headline(why), False, headline(why))
    expect(("more than" in headline(why)) == (why.logit > 0), True, headline(why))


@case(KIND, "contrast of labels: the difference of the logits before the sigmoids", accepts=RIGHT)
def _() -> None:
    network = network_of(4, torch.sigmoid)
    p = own(network, pictures()[0])
    why = banked(network).contrast(pictures()[0], 1, 3)
    expect(why.logit, float(np.log(p[1] / (1 - p[1])) - np.log(p[3] / (1 - p[3]))), "log odds by hand", tolerance=1e-4)


@case(KIND, "labels that nobody can see: outputs='sigmoid' says it", accepts=RIGHT)
def _() -> None:
    network = network_of(4)
    z = own(network, pictures()[0])
    why = banked(network, outputs="sigmoid").explain(pictures()[0], 2)
    expect(why.probability, float(1 / (1 + np.exp(-z[2]))), "sigmoid by hand", tolerance=1e-6)


@case(KIND, "a configuration with problem_type multi_label_classification: sigmoids", accepts=RIGHT)
def _() -> None:
    network = network_of(4)
    z = own(network, pictures()[0])
    why = banked(Answer(network, "multi_label_classification")).explain(pictures()[0], 2)
    expect(why.probability, float(1 / (1 + np.exp(-z[2]))), "sigmoid by hand", tolerance=1e-6)


@case(KIND, "a configuration with problem_type single_label_classification: softmax", accepts=RIGHT)
def _() -> None:
    network = network_of(4)
    z = own(network, pictures()[0])
    why = banked(Answer(network, "single_label_classification")).explain(pictures()[0], 2)
    expect(why.probability, float(np.exp(z[2]) / np.exp(z).sum()), "softmax by hand", tolerance=1e-6)


@case(KIND, "outputs='sigmoid' for a network that ends in a softmax", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(4, lambda z: z.softmax(1)), outputs="sigmoid", example=pictures())


@case(KIND, "outputs='softmax' for a network that ends in sigmoids", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(4, torch.sigmoid), outputs="softmax", example=pictures())


@case(KIND, "outputs='logistic'", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(4), outputs="logistic", example=pictures())  # type: ignore[arg-type]


@case(KIND, "logits dozens apart are over 99.9 %, never 100 %", accepts=RIGHT)
def _() -> None:
    network = network_of(2, lambda z: 20 * z)
    why = banked(network).explain(pictures()[0])
    expect("over 99.9" in headline(why), True, headline(why))


for dtype in (torch.float16, torch.bfloat16, torch.float64):
    for name in ("a softmax", "sigmoids"):

        @case(KIND, f"{str(dtype).removeprefix('torch.')} weights and {name} at the end", accepts=RIGHT)
        def _(dtype: torch.dtype = dtype, name: str = name) -> None:
            network = network_of(4, ENDS[name]).to(dtype)
            bank = banked(network)
            expected = network(pictures()[:1].to(dtype))[0].double().detach().numpy()
            got = [bank.explain(pictures()[0], target).probability for target in range(4)]
            expect(got, expected, "probabilities", tolerance=1e-6 if dtype == torch.float64 else 1e-2)


@case(KIND, "a split of a softmax network keeps the logits before it", accepts=RIGHT)
def _() -> None:
    network = network_of(4, lambda z: z.softmax(1))
    model = lt.split(network, example=pictures())
    before = network.head(network.features(pictures()).relu().mean((2, 3)))
    expect(model.logits(pictures()).detach().numpy(), before.detach().numpy(), "logits", tolerance=1e-6)


@case(KIND, "model.probabilities(model.logits(x)) is what a softmax network returns", accepts=RIGHT)
def _() -> None:
    network = network_of(4, lambda z: z.softmax(1))
    model = lt.split(network, example=pictures())
    got = model.probabilities(model.logits(pictures()))
    expect(got.detach().numpy(), network(pictures()).double().detach().numpy(), "probabilities", tolerance=1e-6)


@case(KIND, "probabilities of logits of another network", accepts=REFUSED)
def _() -> None:
    lt.split(network_of(4), example=pictures()).probabilities(torch.zeros(2, 3))


@case(KIND, "a black box of a split softmax network answers as the network does", accepts=RIGHT)
def _() -> None:
    network = network_of(4, lambda z: (z / 2).softmax(1))
    box = lt.BlackBox(lt.split(network, example=pictures()))
    expect(box(pictures()).numpy(), network(pictures()).double().detach().numpy(), "answers", tolerance=1e-6)
    expect(any("softmax applied" in note for note in box.notes), False, f"notes {box.notes}")


@case(KIND, "a black box of a split one-logit network answers with two columns", accepts=RIGHT)
def _() -> None:
    network = network_of(1, torch.sigmoid)
    box = lt.BlackBox(lt.split(network, class_names=["tumour"], example=pictures()))
    p = network(pictures()).double().detach().numpy()
    expect(box(pictures()).numpy(), np.concatenate([1 - p, p], 1), "answers", tolerance=1e-6)
    expect(box.class_names, ("not tumour", "tumour"), "class names")


@case(KIND, "a black box of a split network with labels answers with each label's own probability", accepts=EITHER)
def _() -> None:
    network = network_of(4, torch.sigmoid)
    box = lt.BlackBox(lt.split(network, example=pictures()))
    expect(box(pictures()).numpy(), network(pictures()).double().detach().numpy(), "answers", tolerance=1e-6)


@case(KIND, "a black box of a bare network with labels in its configuration does not softmax them", accepts=EITHER)
def _() -> None:
    network = network_of(4)
    box = lt.BlackBox(Answer(network, "multi_label_classification").eval())
    expected = network(pictures()).double().sigmoid().detach().numpy()
    expect(box(pictures()).numpy(), expected, "answers", tolerance=1e-6)


@case(KIND, "a search for a class among independent labels", accepts=EITHER)
def _() -> None:
    box = lt.BlackBox(lt.split(network_of(4, torch.sigmoid), example=pictures()))
    lt.FreeMCG().counterfactual(box, pictures()[0], target=1)


@case(KIND, "a network of probabilities that no head explains: its number, no softmax of a softmax", accepts=RIGHT)
def _() -> None:
    network = network_of(4, lambda z: 0.9 * z.softmax(1) + 0.025)
    model = lt.split(network, example=pictures())
    got = model.probabilities(model.logits(pictures())).detach().numpy()
    expect(got, network(pictures()).double().detach().numpy(), "probabilities", tolerance=1e-6)


@case(KIND, "two columns (1 - p, p) made of one logit: its number", accepts=RIGHT)
def _() -> None:
    network = network_of(1, lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1))
    model = lt.split(network, example=pictures())
    got = model.probabilities(model.logits(pictures())).detach().numpy()
    expect(got, network(pictures()).double().detach().numpy(), "probabilities", tolerance=1e-6)


@case(KIND, "sigmoids of something that is not linear: each label its own number", accepts=RIGHT)
def _() -> None:
    network = network_of(3, lambda z: torch.sigmoid(z.tanh() * 2))
    model = lt.split(network, example=pictures())
    got = model.probabilities(model.logits(pictures())).detach().numpy()
    expect(got, network(pictures()).double().detach().numpy(), "probabilities", tolerance=1e-6)


@case(KIND, "a bank opened with its network says the same number as before", accepts=RIGHT)
def _() -> None:
    network = network_of(4)
    bank = banked(network, outputs="sigmoid", class_names=list("abcd"))
    folder = bank.save(Path(tempfile.mkdtemp()) / "bank")
    opened = lt.open_bank(folder, network)
    before, after = (one.explain(pictures()[0], "c") for one in (bank, opened))
    expect(after.probability, before.probability, "probability", tolerance=1e-12)


@case(KIND, "a bank of labels opened with a model split as a softmax", accepts=REFUSED)
def _() -> None:
    network = network_of(4)
    folder = banked(network, outputs="sigmoid").save(Path(tempfile.mkdtemp()) / "bank")
    lt.open_bank(folder, lt.split(network, example=pictures()))


@case(KIND, "the page of a one-logit network says 'not tumour' and no 100 %", accepts=RIGHT)
def _() -> None:
    why = banked(network_of(1, push=-9.0), class_names=["tumour"]).explain(pictures()[0])
    page = why.save(Path(tempfile.mkdtemp()) / "why.html").read_text(encoding="utf-8")
    title = page.split("<h1>")[1].split("</h1>")[0]
    expect(("says not “tumour”" in title, "100" in title), (True, False), title)


@case(KIND, "prototypes of a one-logit network: 'model says tumour' only where it does", accepts=RIGHT)
def _() -> None:
    network = network_of(1, push=-9.0)
    bank = banked(network, class_names=["tumour"])
    said = {(item.index, item.predicted) for item in bank.prototypes}
    z = network(pictures())[:, 0]
    expect(said, {(index, 0 if float(z[index]) > 0 else None) for index, _ in said}, "what the model says")
