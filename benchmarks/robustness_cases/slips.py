"""Natural slips: what a user tries first works, or the sentence says what to write instead."""

import tempfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

import likethat as lt
from likethat.search import CMAES, Evolution, PriorSampling, Surrogate
from robustness_cases import REFUSED, RIGHT, Wrong, case, expect


@cache
def network() -> nn.Module:
    """Return a network whose logits are known by hand: class 0 likes red, class 1 green."""
    made = nn.Sequential(
        nn.Conv2d(3, 4, 1, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    with torch.no_grad():
        made[0].weight.copy_(torch.eye(4, 3)[:, :, None, None] + 0.1)
        made[4].weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5]]))
        made[4].bias.copy_(torch.tensor([0.0, 0.25]))
    return made.eval()


@cache
def images() -> Tensor:
    """Return twenty pictures of 16 x 16."""
    return torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@cache
def bank() -> lt.Bank:
    """Return a bank of three prototypes a channel."""
    return lt.EPIC(n_prototypes=3).fit(lt.split(network(), example=images()[:2]), images())


class Outputs(nn.Module):
    """The network, with something round its logits."""

    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.wrap = network(), wrap

    def forward(self, x: Tensor) -> Any:
        """Return the logits, wrapped."""
        return self.wrap(self.inner(x))


class Items(Dataset[Any]):
    """(image, label) with a transform, as torchvision's data sets have it."""

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        self.transform = transform

    def __len__(self) -> int:
        return len(images())

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(images()[index]), index % 2


class Stream(IterableDataset[Any]):
    """Images, one after the other."""

    def __iter__(self) -> Any:
        return iter(images())


def _logit_of(found: lt.Bank, index: int = 0) -> None:
    """Compare an explanation's logit and sum with the network's own answer."""
    with torch.no_grad():
        own = float(network()(images()[index : index + 1])[0, 1])
    explained = found.explain(images()[index], 1)
    expect(explained.logit, own, "logit of class 1", tolerance=1e-5)
    terms = float(explained.contributions.sum()) + explained.remainder + explained.bias
    expect(terms, own, "sum of the terms", tolerance=1e-4)


# --- a network instead of a split model -------------------------------------------------------------------------------


@case("slips", "EPIC().fit(network, images) splits the network and keeps the split in the bank", accepts=RIGHT)
def _() -> None:
    found = lt.EPIC(n_prototypes=3).fit(network(), images())
    expect(found.model.grid, (16, 16), "the map at the size of the images")
    _logit_of(found)


@case("slips", "PartPrototypes().fit(network, images) splits the network", accepts=RIGHT)
def _() -> None:
    _logit_of(lt.PartPrototypes(n_parts=2, n_prototypes=2).fit(network(), images()))


@case("slips", "ProDG(generator).fit(network) splits the network at the generator's size", accepts=RIGHT)
def _() -> None:
    paint = lt.load_generator(lambda z: z.sigmoid().reshape(-1, 3, 2, 2).repeat_interleave(4, 2), latent_dim=12)
    found = lt.ProDG(paint, n_prototypes=2, n_samples=40, steps=1, controls=False).fit(network())
    expect(found.model.grid, (8, 2), "the map at the size of the generator's images")


@case("slips", "a network in training mode comes back in training mode from a fit", accepts=RIGHT)
def _() -> None:
    mine = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mine.append(nn.Linear(4, 2)).train()
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    lt.EPIC(n_prototypes=3).fit(mine, images())
    expect(mine.training, True, "the mode")
    expect(all(torch.equal(value, before[name]) for name, value in mine.state_dict().items()), True, "the state")


@case("slips", "images and model the wrong way round", accepts=REFUSED)
def _() -> None:
    lt.EPIC().fit(images(), network())  # type: ignore[arg-type]


@case("slips", "the name of a model instead of the model", accepts=REFUSED)
def _() -> None:
    lt.EPIC().fit("zoo:digits", images())  # type: ignore[arg-type]


@case("slips", "open_bank(path, network) splits the network as the bank was made", accepts=RIGHT)
def _() -> None:
    place = bank().save(f"{tempfile.mkdtemp()}/bank")
    _logit_of(lt.open_bank(place, network()))


@case("slips", "bank.attach(network) splits the network as the bank was made", accepts=RIGHT)
def _() -> None:
    found = lt.open_bank(bank().save(f"{tempfile.mkdtemp()}/bank"))
    found.attach(network())
    _logit_of(found)


# --- a DataLoader as images -------------------------------------------------------------------------------------------


@case("slips", "a DataLoader is read as its data set, in the data set's order", accepts=RIGHT)
def _() -> None:
    loader = DataLoader(TensorDataset(images(), torch.arange(20) % 2), batch_size=6, shuffle=True, drop_last=True)
    found = lt.EPIC(n_prototypes=3).fit(network(), loader)
    expect(found.provenance.n_images, 20, "images read")
    _logit_of(found)


@case("slips", "a DataLoader over a stream is read as the stream", accepts=RIGHT)
def _() -> None:
    found = lt.EPIC(n_prototypes=3).fit(lt.split(network(), example=images()[:1]), DataLoader(Stream(), batch_size=4))
    expect(found.provenance.n_images, 20, "images read")


@case("slips", "a DataLoader whose transform normalises", accepts=REFUSED)
def _() -> None:
    loader = DataLoader(Items(lambda image: (image - 0.45) / 0.22), batch_size=4)
    lt.EPIC(n_prototypes=3).fit(network(), loader)


@case("slips", "a DataLoader that chooses a part of its data set", accepts=REFUSED)
def _() -> None:
    lt.EPIC().fit(network(), DataLoader(TensorDataset(images()), sampler=SubsetRandomSampler([0, 1])))


@case("slips", "a DataLoader with a collate_fn of its own", accepts=REFUSED)
def _() -> None:
    lt.EPIC().fit(network(), DataLoader(TensorDataset(images()), collate_fn=list))


# --- several pictures in explain --------------------------------------------------------------------------------------

SEVERAL: dict[str, Callable[[], Any]] = {
    "a batch": lambda: images()[:3],
    "an array of several": lambda: np.asarray(images()[:3]),
    "a list of tensors": lambda: list(images()[:3]),
    "a source": lambda: lt.Images(images()[:3]),
    "a DataLoader": lambda: DataLoader(TensorDataset(images())),
    "a generator of images": lambda: (image for image in images()),
    "(image, label)": lambda: (images()[0], 1),
    "a dictionary": lambda: {"image": images()[0]},
}


def _register_several() -> None:
    for what, make in SEVERAL.items():

        @case("slips", f"{what} in explain is told how to be explained one by one", accepts=REFUSED)
        def _(make: Callable[[], Any] = make) -> None:
            bank().explain(make())


_register_several()


@case("slips", "a batch of one in explain is that image", accepts=RIGHT)
def _() -> None:
    expect(bank().explain(images()[:1]).logit, bank().explain(images()[0]).logit, "the logit")


# --- sizes, seeds, strategies -----------------------------------------------------------------------------------------

SIZES: dict[Any, int] = {"2GB": 2 * 10**9, "512 MiB": 2**29, "1.5gib": 3 * 2**29, "64k": 64_000, 4096: 4096}


def _register_sizes() -> None:
    from likethat._options import byte_count

    for text, expected in SIZES.items():

        @case("options", f"memory_budget={text!r} is {expected:,} bytes", accepts=RIGHT)
        def _(text: Any = text, expected: int = expected) -> None:
            expect(byte_count(text), expected, "bytes")
            lt.EPIC(n_prototypes=3).fit(network(), images(), memory_budget=text)


_register_sizes()

STRATEGIES = {"surrogate": Surrogate, "prior": PriorSampling, "cma-es": CMAES, "evolution": Evolution}


def _register_strategies() -> None:
    for name, kind in STRATEGIES.items():

        @case("slips", f"algorithm={name!r} is search.{kind.__name__}()", accepts=RIGHT)
        def _(name: str = name, kind: type = kind) -> None:
            expect(type(lt.Exemplars(lt.load_generator("zoo:digits"), algorithm=name).strategy), kind, "the strategy")


_register_strategies()


@case("slips", "algorithm=search.CMAES, the class, is told to be made an instance", accepts=REFUSED)
def _() -> None:
    lt.Exemplars(lt.load_generator("zoo:digits"), algorithm=CMAES)


@case("options", "NumPy's whole numbers are whole numbers, and the bank keeps plain ones", accepts=RIGHT)
def _() -> None:
    method = lt.EPIC(np.int64(3), seed=np.uint8(7), usage_weight=np.float32(0.5))  # type: ignore[arg-type]
    expect([type(method.n_prototypes), type(method.seed), type(method.usage_weight)], [int, int, float], "types")
    same = lt.EPIC(3, seed=7, usage_weight=0.5).fit(network(), images())
    expect(np.array_equal(method.fit(network(), images()).mixing, same.mixing), True, "the same bank")


@case("options", "an option that does not exist is told the one that was meant", accepts=REFUSED)
def _() -> None:
    try:
        lt.EPIC(n_prototype=3)  # type: ignore[call-arg]
    except TypeError as error:
        expect("Did you mean `n_prototypes`?" in str(error), True, "the sentence names the option")
        raise


@case("options", "a choice that does not exist is told the closest", accepts=REFUSED)
def _() -> None:
    try:
        lt.EPIC(mixing="whitend")  # type: ignore[arg-type]
    except lt.errors.InputError as error:
        expect("Did you mean 'whitened'?" in str(error), True, "the sentence names the choice")
        raise


# --- what a network returns -------------------------------------------------------------------------------------------

TAKEN: dict[str, Callable[[Tensor], Any]] = {
    "(y,)": lambda y: (y,),
    "[y]": lambda y: [y],
    "(y, aux) of an auxiliary head": lambda y: (y, 2 * y),
    "(y, None)": lambda y: (y, None),
    "(y, {})": lambda y: (y, {"loss": y.mean()}),
    "(map, y)": lambda y: (y[:, :, None, None], y),
    "{'out': y}": lambda y: {"out": y},
    "{'y': y, 'loss': scalar}": lambda y: {"y": y, "loss": y.mean()},
    "{'logits': y, 'probabilities': p}": lambda y: {"logits": y, "probabilities": y.softmax(1)},
}
NOT_TAKEN: dict[str, Callable[[Tensor], Any]] = {
    "(y, features) of other width": lambda y: (y, torch.cat([y, y], dim=1)),
    "[y, y, y] of several exits": lambda y: [y, y, y],
    "{'a': y, 'b': y}": lambda y: {"a": y, "b": 2 * y},
    "{'pooler_output': features}": lambda y: {"pooler_output": y},
    "()": lambda _: (),
    "a text": lambda _: "cat",
    "probabilities as a list of numbers": lambda y: y.tolist(),
}


def _register_outputs() -> None:
    for what, wrap in TAKEN.items():

        @case("slips", f"a network that returns {what}: y are its logits", accepts=RIGHT)
        def _(wrap: Callable[[Tensor], Any] = wrap) -> None:
            found = lt.split(Outputs(wrap).eval(), example=images()[:2]).logits(images()[:4])
            with torch.no_grad():
                expect(found.detach().numpy(), network()(images()[:4]).numpy(), "logits", tolerance=1e-6)
            asked = lt.BlackBox(Outputs(wrap), output="logits")(images()[:4])
            expect(asked.numpy(), found.double().softmax(1).detach().numpy(), "as a black box", tolerance=1e-6)

    for what, wrap in NOT_TAKEN.items():

        @case("slips", f"a network that returns {what}", accepts=REFUSED)
        def _(wrap: Callable[[Tensor], Any] = wrap) -> None:
            lt.split(Outputs(wrap).eval(), example=images()[:2])

        @case("slips", f"a black box of a network that returns {what}", accepts=REFUSED)
        def _(wrap: Callable[[Tensor], Any] = wrap) -> None:
            lt.BlackBox(Outputs(wrap))(images()[:2])


_register_outputs()

# --- networks that are not for images, or no modules any more ---------------------------------------------------------


class Bag(nn.Module):
    """A classifier of token numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.head = nn.Embedding(50, 8), nn.Linear(8, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.words(tokens).mean(1))


class Recurrent(nn.Module):
    """A classifier of series."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.head = nn.GRU(5, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, series: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.steps(series)[0][:, -1])


def _pooled(convolution: nn.Module, pool: nn.Module) -> nn.Module:
    return nn.Sequential(convolution, nn.ReLU(), pool, nn.Flatten(), nn.Linear(8, 2)).eval()


NOT_IMAGES: dict[str, tuple[Callable[[], Any], str]] = {
    "a classifier of texts": (Bag, "texts"),
    "a recurrent classifier": (Recurrent, "series"),
    "a classifier of series": (lambda: _pooled(nn.Conv1d(3, 8, 3), nn.AdaptiveAvgPool1d(1)), "series"),
    "a classifier of volumes": (lambda: _pooled(nn.Conv3d(1, 8, 3), nn.AdaptiveAvgPool3d(1)), "volumes"),
    "a classifier of films": (lambda: _pooled(nn.Conv3d(3, 8, 3), nn.AdaptiveAvgPool3d(1)), "films"),
    "a classifier of table rows": (lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2)), "table"),
}
NO_MODULES: dict[str, tuple[Callable[[], Any], str]] = {
    "torch.jit.trace": (lambda: torch.jit.trace(network(), images()[:1]), "TorchScript"),
    "torch.jit.script": (lambda: torch.jit.script(network()), "TorchScript"),
    "torch.export": (lambda: torch.export.export(network(), (images()[:2],)), "exported program"),
    "torch.export, its module": (lambda: torch.export.export(network(), (images()[:2],)).module(), "torch.export"),
    "a function": (lambda: lambda x: x.mean((2, 3)), "BlackBox"),
    "a state dictionary": (lambda: network().state_dict(), "torch.nn.Module"),
    "a class": (lambda: Bag, "instance"),
    "a path": (lambda: "resnet.pt", "torch.nn.Module"),
}


def _register_networks() -> None:
    for what, (make, word) in {**NOT_IMAGES, **NO_MODULES}.items():

        @case("not image networks", f"{what} in split is told so", accepts=REFUSED)
        def _(make: Callable[[], Any] = make, word: str = word) -> None:
            try:
                lt.split(make())
            except lt.errors.LikethatError as error:
                if word not in str(error):
                    raise Wrong(f"the sentence does not speak of {word}: {error}") from error
                raise

    for what in ("torch.jit.trace", "torch.export, its module"):

        @case("not image networks", f"{what} as a black box answers as the network does", accepts=RIGHT)
        def _(make: Callable[[], Any] = NO_MODULES[what][0]) -> None:
            with torch.no_grad():
                own = network()(images()[:2]).softmax(1).double().numpy()
            found = lt.BlackBox(make(), output="logits", check_determinism=False)(images()[:2])
            expect(found.numpy(), own, "probabilities", tolerance=1e-6)


_register_networks()


@case("not image networks", "a graph of torch.fx that calls layers is split as its module is", accepts=RIGHT)
def _() -> None:
    found = lt.split(torch.fx.symbolic_trace(network()), example=images()[:2])
    with torch.no_grad():
        expect(found.logits(images()).detach().numpy(), network()(images()).numpy(), "logits", tolerance=1e-6)


@case("not image networks", "a compiled network is split as the module inside", accepts=RIGHT)
def _() -> None:
    expect(lt.split(torch.compile(network()), example=images()[:2]).network is network(), True, "the module")  # type: ignore[arg-type]
