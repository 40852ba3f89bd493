"""What a second look found: data sets that number classes in ways of their own, networks wrapped or in training."""

import tempfile
import threading
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import likethat as lt
from likethat.errors import ModelError
from robustness_cases import REFUSED, RIGHT, Skip, case, expect
from robustness_cases._colours import BLUE, GREEN, RED, SIZE, fit, folder, labels, model, pixels

NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
AT = (3, 5, 7)  # of cat, dog and horse, which are red, green and blue
OURS = {"cat": 3, "dog": 5, "horse": 7}
WHICH = [number // 4 for number in range(12)]  # four pictures of each colour


class Pairs(Dataset):  # type: ignore[type-arg]
    """Pictures with labels, and whatever attributes a data set has."""

    def __init__(self, given: list[Any], **attributes: Any) -> None:
        self.given = given
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.given)

    def __getitem__(self, index: int) -> tuple[Image.Image, Any]:
        """Return a picture of red, green or blue and its label."""
        return Image.fromarray(pixels(index // 4, index % 4)), self.given[index]


def _labelled(images: Any, expected: Mapping[str, int] | None = None) -> None:
    bank = fit(model(NAMES, at=AT), images)
    expect(labels(bank), dict(OURS if expected is None else expected), "labels")
    expect(bank.provenance.data["labels"]["accuracy"], 1.0, "accuracy on them")


NUMBERED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a target_transform that numbers classes as the model does": (
        [AT[which] for which in WHICH],
        {"classes": ["cat", "dog", "horse"], "target_transform": lambda number: AT[number]},
    ),
    "a target_transform that changes their order": (
        [(1, 2, 0)[which] for which in WHICH],
        {"classes": ["cat", "dog", "horse"], "target_transform": lambda number: (1, 2, 0)[number]},
    ),
    "class_to_idx in another order than the list of classes": (
        [(2, 0, 1)[which] for which in WHICH],
        {"classes": ["cat", "dog", "horse"], "class_to_idx": {"cat": 2, "dog": 0, "horse": 1}},
    ),
    "class_to_idx from 1": ([1 + which for which in WHICH], {"class_to_idx": {"cat": 1, "dog": 2, "horse": 3}}),
    "class_to_idx with gaps": ([4 * which for which in WHICH], {"class_to_idx": {"cat": 0, "dog": 4, "horse": 8}}),
    "classes as an array": (WHICH, {"classes": np.array(["cat", "dog", "horse"])}),
    "classes as a dictionary of numbers": (WHICH, {"classes": {0: "cat", 1: "dog", 2: "horse"}}),
    "classes as a dictionary of names": (WHICH, {"classes": {"horse": 2, "cat": 0, "dog": 1}}),
    "categories, as torchvision's Caltech101 has": (WHICH, {"categories": ["cat", "dog", "horse"]}),
    "text labels as bytes": ([[b"cat", b"dog", b"horse"][which] for which in WHICH], {}),
    "text labels in lists of one": ([[("cat", "dog", "horse")[which]] for which in WHICH], {}),
    "numbers as tensors of one": ([torch.tensor([which]) for which in WHICH], {"classes": ["cat", "dog", "horse"]}),
    "one-hot labels beside names": ([np.eye(3)[which] for which in WHICH], {"classes": ["cat", "dog", "horse"]}),
}

for _name, (_given, _attributes) in NUMBERED.items():
    case("class names", f"a data set with {_name}", accepts=RIGHT)(partial(_labelled, Pairs(_given, **_attributes)))


@case("class names", "one-hot labels without names are the model's indices", accepts=RIGHT)
def _() -> None:
    bank = fit(model(NAMES, at=AT), Pairs([torch.eye(10)[AT[which]] for which in WHICH]))
    expect(bank.provenance.data["labels"]["accuracy"], 1.0, "accuracy")


@case("class names", "several labels an image are none of them: two numbers are not one-hot", accepts=RIGHT)
def _() -> None:
    bank = fit(model(NAMES, at=AT), Pairs([torch.tensor([0, 1])] * 12))
    expect({item.label for item in bank.prototypes}, {None}, "labels")


@case(
    "class names",
    "a target_transform that joins classes: numbers, and no name that holds for half of them",
    accepts=RIGHT,
)
def _() -> None:
    joined = Pairs(
        [3] * 4 + [5] * 8, classes=["cat", "dog", "horse"], target_transform=lambda number: (3, 5, 5)[number]
    )
    bank = fit(model(NAMES, at=AT), joined)
    expect({(item.label_name, item.label) for item in bank.prototypes} <= {(None, 3), (None, 5)}, True, "labels")


@case("class names", "a list of dictionaries with label and label_name", accepts=RIGHT)
def _() -> None:
    items = [
        {"image": Image.fromarray(pixels(which, at)), "label": which, "label_name": ("cat", "dog", "horse")[which]}
        for at, which in enumerate(WHICH)
    ]
    _labelled(items)


def _hugging_face(columns: Mapping[str, Any], features: Callable[[Any], Mapping[str, Any]]) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise Skip("needs datasets") from error
    pictures = [Image.fromarray(pixels(which, at % 4)) for at, which in enumerate(WHICH)]
    masks = [Image.new("L", (SIZE, SIZE))] * 12
    known = {"image": pictures, "annotation": masks, "label": WHICH, "camera": [0, 1, 1] * 4}
    types = features(datasets)
    return datasets.Dataset.from_dict(
        {name: columns.get(name, known.get(name)) for name in types}, features=datasets.Features(types)
    )


@case("class names", "Hugging Face: a ClassLabel of cameras before that of the labels", accepts=RIGHT)
def _() -> None:
    _labelled(
        _hugging_face(
            {},
            lambda hf: {
                "image": hf.Image(),
                "camera": hf.ClassLabel(names=["canon", "nikon"]),
                "label": hf.ClassLabel(names=["cat", "dog", "horse"]),
            },
        )
    )


@case("class names", "Hugging Face: a ClassLabel of cameras, and labels as texts", accepts=RIGHT)
def _() -> None:
    _labelled(
        _hugging_face(
            {"label": [("cat", "dog", "horse")[which] for which in WHICH]},
            lambda hf: {
                "image": hf.Image(),
                "camera": hf.ClassLabel(names=["canon", "nikon"]),
                "label": hf.Value("string"),
            },
        )
    )


@case("class names", "Hugging Face: a column of masks before that of the pictures", accepts=RIGHT)
def _() -> None:
    _labelled(
        _hugging_face(
            {},
            lambda hf: {
                "annotation": hf.Image(),
                "image": hf.Image(),
                "label": hf.ClassLabel(names=["cat", "dog", "horse"]),
            },
        )
    )


class Small(nn.Module):
    """A network that a library's configuration can be hung on, and that can be made to do something meanwhile."""

    def __init__(self, n_classes: int = 3, end: Callable[[Tensor], Tensor] | None = None, **attributes: Any) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(n_classes)
        self.features, self.head, self.end = nn.Conv2d(3, 6, 3), nn.Linear(6, n_classes), end
        with torch.no_grad():
            for values in self.parameters():
                values.copy_(torch.randn(values.shape, generator=rng) / values[0].numel() ** 0.5)
        self.meanwhile: Callable[[], None] | None = None
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, or what `end` makes of them."""
        if self.meanwhile is not None:
            thread, self.meanwhile = threading.Thread(target=self.meanwhile), None
            thread.start()
            thread.join()
        logits = self.head(self.features(images).relu().mean((2, 3)))
        return logits if self.end is None else self.end(logits)


class Wrapped(nn.Module):
    """What users write around a library's network; with `shift`, one that prepares images by itself."""

    def __init__(self, model: nn.Module, shift: float = 0.0) -> None:
        super().__init__()
        self.model, self.shift = model, shift

    def forward(self, images: Tensor) -> Tensor:
        """Return what the network inside returns."""
        return self.model(images - self.shift if self.shift else images)


TIMM = {"input_size": (3, SIZE, SIZE), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "label_names": ["a", "b", "c"]}


def _images(n: int = 12) -> Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def _quietly(network: nn.Module, **options: Any) -> lt.SplitModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return lt.split(network.eval(), **options)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "a module of the user's": Wrapped,
    "nn.Sequential with a softmax": lambda network: nn.Sequential(network, nn.Softmax(1)),
    "two modules of the user's": lambda network: Wrapped(Wrapped(network)),
    "DataParallel in a module": lambda network: Wrapped(nn.DataParallel(network)),
}
for _name, _wrap in WRAPPERS.items():

    @case("preprocessing", f"a configured network inside {_name}: its mean, std and class names", accepts=RIGHT)
    def _(wrap: Callable[[nn.Module], nn.Module] = _wrap) -> None:
        split = _quietly(wrap(Small(pretrained_cfg=TIMM)))
        expect((split.preprocess.mean, split.preprocess.std), (TIMM["mean"], TIMM["std"]), "mean and std")
        expect(split.class_names, ("a", "b", "c"), "class names")
        own = Small(pretrained_cfg=TIMM).eval()
        views = (_images(2) - torch.tensor(TIMM["mean"])[:, None, None]) / torch.tensor(TIMM["std"])[:, None, None]
        chances = own(views).softmax(1).detach().double().numpy()
        expect(split.probabilities(split.logits(_images(2))).detach().numpy(), chances, "chances", tolerance=1e-5)


@case("preprocessing", "a configured network inside one that prepares images by itself is prepared once", accepts=RIGHT)
def _() -> None:
    expect(_quietly(Wrapped(Small(pretrained_cfg=TIMM), shift=0.5)).preprocess.mean, None, "mean")


@case("preprocessing", "two configured networks side by side: neither configuration is taken", accepts=RIGHT)
def _() -> None:
    both = Wrapped(Small(pretrained_cfg=TIMM))
    both.teacher = Small(pretrained_cfg=TIMM | {"mean": (0.1, 0.1, 0.1)})
    expect(_quietly(both, example=_images()).preprocess.mean, None, "mean")


def _config(task: str | None) -> Any:
    return SimpleNamespace(problem_type=task, id2label={0: "a", 1: "b", 2: "c"})


@case("percentages", "labels that the configuration of a network inside another says are sigmoids", accepts=RIGHT)
def _() -> None:
    network = Small(config=_config("multi_label_classification"))
    split = _quietly(Wrapped(network), example=_images())
    expect((split.outputs, split.class_names), ("sigmoid", ("a", "b", "c")), "outputs and class names")
    own = network(_images(2)).sigmoid().detach().double().numpy()
    expect(split.probabilities(split.logits(_images(2))).detach().numpy(), own, "probabilities", tolerance=1e-6)


for _n in (1, 3):

    @case("percentages", f"a configuration that says regression, {_n} numbers: no percentage", accepts=REFUSED)
    def _(n: int = _n) -> None:
        _quietly(Small(n, config=SimpleNamespace(problem_type="regression")), example=_images())


@case("percentages", "a configuration that says regression, and a user who says softmax", accepts=RIGHT)
def _() -> None:
    split = _quietly(Small(config=_config("regression")), example=_images(), outputs="softmax")
    expect(split.outputs, "softmax", "outputs")


@case("class names", "a configuration whose numbers are texts, as JSON keeps them", accepts=RIGHT)
def _() -> None:
    network = Small(config=SimpleNamespace(problem_type=None, id2label={"0": "a", "1": "b", "2": "c"}))
    expect(_quietly(network, example=_images()).class_names, ("a", "b", "c"), "class names")


def _clipped(end: Callable[[Tensor], Tensor]) -> None:
    """Split a network on dim pictures, whose logits it leaves alone, and ask about one whose logits it clips."""
    network = Small(1, end)
    with torch.no_grad():
        network.features.weight.abs_()
        network.head.weight.abs_().mul_(4)
        network.head.bias.zero_()
    split = _quietly(network, example=_images() * 1e-3)
    bright = torch.ones(1, 3, SIZE, SIZE)
    own = network(bright).detach().double().numpy()
    expect(split.probabilities(split.logits(bright)).detach().numpy(), own, "the network's own number", tolerance=1e-3)


@case("percentages", "a network that clips its logits before a sigmoid, for bright pictures alone", accepts=REFUSED)
def _() -> None:
    _clipped(lambda logits: logits.clamp(-20, 2).sigmoid() if float(logits.max()) > 12 else logits.sigmoid())


def _trained_meanwhile(network: Small) -> None:
    with torch.no_grad():
        network.features.weight.mul_(1.5)


@case("self-check", "another thread trains the network while it is explained", accepts=REFUSED)
def _() -> None:
    network = Small().eval()
    bank = fit(lt.split(network, example=_images()), _images())
    network.meanwhile = partial(_trained_meanwhile, network)
    bank.explain(_images()[0])


@case("self-check", "another thread trains the network during a fit", accepts=REFUSED)
def _() -> None:
    network = Small().eval()
    split = lt.split(network, example=_images())
    network.meanwhile = partial(_trained_meanwhile, network)
    fit(split, _images())


@case("self-check", "what is refused while the network is trained is right again with the old weights", accepts=RIGHT)
def _() -> None:
    network = Small().eval()
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    bank = fit(lt.split(network, example=_images()), _images())
    before = bank.explain(_images()[0]).logit
    network.meanwhile = partial(_trained_meanwhile, network)
    try:
        bank.explain(_images()[0])
    except ModelError:
        network.load_state_dict(kept)
    expect(bank.explain(_images()[0]).logit, before, "logit")


@case(
    "data report",
    "pictures of one pure colour are flat: red is one colour, though no channel is like another",
    accepts=RIGHT,
)
def _() -> None:
    colours = [(255, 0, 0), (0, 255, 0), (10, 200, 30), (77, 77, 77)]
    flat = [Image.new("RGB", (20, 30), colour) for colour in colours]
    textured = [Image.fromarray(pixels(which, at)).resize((20, 30)) for which in (RED, GREEN, BLUE) for at in range(2)]
    split = _quietly(Small(), preprocess=lt.Preprocess(size=(24, 16)))
    expect(fit(split, [*flat, *textured]).provenance.data["brightness"]["flat"], 4, "flat pictures")


@case("data report", "a data set of three pictures is fitted, and said to be few", accepts=RIGHT)
def _() -> None:
    bank = fit(_quietly(Small(), example=_images()), _images(3))
    expect("fewer images (3) than channels (6)" in " ".join(bank.provenance.notes), True, "the note")


@case("class names", "a well-prepared network on its own classes gets no note on labels", accepts=RIGHT)
def _() -> None:
    bank = fit(model(NAMES, at=AT), folder({"cat": RED, "dog": GREEN, "horse": BLUE}, n=12))
    about = [note for note in bank.provenance.notes if "label" in note or "class" in note]
    expect(about, [], "notes on labels and classes")


def _gelu(network: nn.Sequential) -> None:
    network[2] = nn.GELU()


REBUILT: dict[str, Callable[[nn.Sequential], None]] = {
    "another activation": _gelu,
    "another stride": lambda network: setattr(network[0], "stride", (2, 2)),
    "another padding": lambda network: setattr(network[0], "padding", (1, 1)),
    "another eps of its batch norm": lambda network: setattr(network[1], "eps", 0.5),
}


def _opened_after(change: Callable[[nn.Sequential], None] | None) -> None:
    torch.manual_seed(0)
    features = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    network = nn.Sequential(*features, nn.Flatten(), nn.Linear(6, 3)).eval()
    bank = fit(lt.split(network, example=_images()), _images())
    path = bank.save(Path(tempfile.mkdtemp()) / "bank")
    before = bank.explain(_images()[0]).logit
    if change is not None:
        change(network)
    expect(lt.open_bank(path, network).explain(_images()[0]).logit, before, "logit of the bank that was opened")


for _name, _change in REBUILT.items():
    case("self-check", f"a bank opened with the same weights in a network of {_name}", accepts=REFUSED)(
        partial(_opened_after, _change)
    )
case("self-check", "a bank opened with the network it was made from", accepts=RIGHT)(partial(_opened_after, None))
