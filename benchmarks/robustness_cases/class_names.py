"""A class is known by its name: a source's classes are matched with a model's, or have no label and are counted."""

import re
import tempfile
import unicodedata
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _real import CIFAR_CLASSES, CIFAR_MEAN, CIFAR_STD, cifar_folder, lite0, real_folder, resnet20
from PIL import Image

import likethat as lt
from likethat._class_names import match_classes
from likethat.errors import DataWarning
from robustness_cases import EITHER, REFUSED, RIGHT, Skip, Wrong, case, expect
from robustness_cases._colours import BLUE, GREEN, RED, fit, folder, labels, model, notes, pixels

KIND = "class names"
CAT, DOG, HORSE = (CIFAR_CLASSES.index(name) for name in ("cat", "dog", "horse"))  # 3, 5, 7 of airplane ... truck


def _cifar_model() -> lt.SplitModel:
    return model(CIFAR_CLASSES, at=(CAT, DOG, HORSE))


def _stacked() -> np.ndarray[Any, Any]:
    return np.stack([pixels(colour, number) for colour in (RED, GREEN, BLUE) for number in range(4)])


def _partners(given: Sequence[str], known: Sequence[str], expected: dict[str, int]) -> None:
    expect(match_classes(given, known).partners, expected, "the model's index of each class")


def _says(text: str, *parts: str) -> None:
    for part in parts:
        if re.search(part, text) is None:
            raise Wrong(f"expected {part!r} in: {text!r}")


def _torchvision_names() -> list[str]:
    try:
        from torchvision.models import ResNet18_Weights
    except ImportError as error:
        raise Skip("needs torchvision") from error
    return list(ResNet18_Weights.DEFAULT.meta["categories"])


def _needs_timm() -> None:
    try:
        import timm  # noqa: F401
    except ImportError as error:
        raise Skip("needs timm, which knows the WordNet numbers") from error


@case(KIND, "folders cat, dog and horse under ten named classes are classes 3, 5 and 7", accepts=RIGHT)
def _() -> None:
    bank = fit(_cifar_model(), folder({"cat": RED, "dog": GREEN, "horse": BLUE}))
    expect(labels(bank), {"cat": CAT, "dog": DOG, "horse": HORSE}, "labels")


@case(KIND, "parts of cats are called cat, not airplane, and show the folder's cats", accepts=RIGHT)
def _() -> None:
    root = folder({"cat": RED, "dog": GREEN, "horse": BLUE})
    bank = lt.PartPrototypes(1, n_prototypes=2).fit(_cifar_model(), root, labels="given")
    shown = {bank.unit_names[item.unit].split(",")[0]: item.source.split("/")[0] for item in bank.prototypes}
    expect(shown, {"cat": "cat", "dog": "dog", "horse": "horse"}, "the folder of each class's prototypes")


@case(KIND, "Cat and DOG are cat and dog", accepts=RIGHT)
def _() -> None:
    _partners(["Cat", "DOG"], CIFAR_CLASSES, {"Cat": 3, "DOG": 5})


@case(KIND, "guinea_pig, Guinea-Pig and 'guinea  pig' are guinea pig", accepts=RIGHT)
def _() -> None:
    _partners(["guinea_pig", "Guinea-Pig", "guinea  pig"], ["hamster", "guinea pig"],
              {"guinea_pig": 1, "Guinea-Pig": 1, "guinea  pig": 1})  # fmt: skip


@case(KIND, "a name from a macOS disk, its accents apart, is the model's name", accepts=RIGHT)
def _() -> None:
    apart = unicodedata.normalize("NFD", "pâté")
    _partners([apart], ["pate", "pâté"], {apart: 1})


@case(KIND, "a German ss is folded as Unicode says", accepts=RIGHT)
def _() -> None:
    _partners(["STRASSE"], ["Platz", "Straße"], {"STRASSE": 1})


@case(KIND, "one of a model's comma-separated synonyms is enough", accepts=RIGHT)
def _() -> None:
    _partners(
        ["tabby_cat", "Tinca tinca"], ["tench, Tinca tinca", "tabby, tabby cat"], {"tabby_cat": 1, "Tinca tinca": 0}
    )


@case(KIND, "one of a source's comma-separated synonyms is enough", accepts=RIGHT)
def _() -> None:
    _partners(["tabby, tabby cat"], ["tench", "tabby"], {"tabby, tabby cat": 1})


@case(KIND, "a whole name comes before a synonym of another class", accepts=RIGHT)
def _() -> None:
    _partners(["missile"], ["projectile, missile", "missile"], {"missile": 1})


@case(KIND, "the exact name comes before the same in another case", accepts=RIGHT)
def _() -> None:
    _partners(["Cat", "cat"], ["cat", "Cat"], {"Cat": 1, "cat": 0})


@case(KIND, "a name that two of the model's classes have folded is none, and said", accepts=RIGHT)
def _() -> None:
    bank = fit(model(["Turkey", "turkey", "crane"], at=(0, 1, 2)), folder({"TURKEY": RED, "crane": BLUE}))
    expect(labels(bank), {"TURKEY": None, "crane": 2}, "labels")
    _says(notes(bank), "4 images have no label", "'TURKEY' .4. could be several classes", "'Turkey' .0., 'turkey' .1.")


@case(KIND, "two classes of one synonym are no partner", accepts=RIGHT)
def _() -> None:
    match = match_classes(["crane"], ["crane, bird", "crane, machine"])
    expect((match.partners, match.ambiguous), ({}, {"crane": (0, 1)}), "the match")


@case(KIND, "hot-dog is not dog, and cats not cat: likeness is no name", accepts=RIGHT)
def _() -> None:
    _partners(["hot-dog", "cats", "ca", "do g"], ["cat", "dog"], {})


@case(KIND, "C# is not C", accepts=RIGHT)
def _() -> None:
    _partners(["C#"], ["C", "C++"], {})


@case(KIND, "WordNet numbers under torchvision's names, the two cranes told apart", accepts=RIGHT)
def _() -> None:
    _needs_timm()
    # The order of ImageNet's 1,000 numbers: n02012849 is the 135th (a bird), n03126707 the 518th (a machine).
    given = {"n01440764": 0, "n02012849": 134, "n03126707": 517, "n15075141": 999}
    _partners(list(given), _torchvision_names(), given)


@case(KIND, "WordNet numbers under a model of ten of ImageNet's classes go by their words", accepts=RIGHT)
def _() -> None:
    _needs_timm()
    _partners(["n01440764", "n02102040"], ["English springer", "tench"], {"n01440764": 1, "n02102040": 0})


@case(KIND, "words under a model whose classes are WordNet numbers", accepts=RIGHT)
def _() -> None:
    _needs_timm()
    _partners(["tench", "English_springer"], ["n02102040", "n01440764"], {"tench": 1, "English_springer": 0})


@case(KIND, "a Latin synonym that torchvision's short names leave out", accepts=RIGHT)
def _() -> None:
    _needs_timm()
    _partners(["Carassius auratus"], _torchvision_names(), {"Carassius auratus": 1})


@case(KIND, "a WordNet number that nobody knows has no partner", accepts=RIGHT)
def _() -> None:
    _partners(["n99999999"], ["tench", "goldfish"], {})


@case(KIND, "a class that the model has not is counted in a note and has no label", accepts=RIGHT)
def _() -> None:
    bank = fit(_cifar_model(), folder({"cat": RED, "okapi": GREEN, "horse": BLUE}))
    expect(labels(bank), {"cat": CAT, "okapi": None, "horse": HORSE}, "labels")
    _says(notes(bank), "4 images have no label: 'okapi' .4. is not among the 10 classes of the model")
    expect(bank.provenance.data["labels"]["unmatched"], {"okapi": 4}, "in the data report")


@case(KIND, "folders train and val are no classes: parts are learned on what the model predicts", accepts=RIGHT)
def _() -> None:
    root = folder({"train": RED, "val": GREEN})
    bank = lt.PartPrototypes(1, n_prototypes=1).fit(_cifar_model(), root)
    found = {bank.unit_names[item.unit].split(",")[0]: item.source.split("/")[0] for item in bank.prototypes}
    expect(found, {"cat": "train", "dog": "val"}, "prototypes")
    _says(notes(bank), "8 images have no label")


@case(KIND, "labels='given' where no label is a class of the model", accepts=REFUSED)
def _() -> None:
    lt.PartPrototypes(1).fit(_cifar_model(), folder({"train": RED, "val": GREEN}), labels="given")


@case(KIND, "labels='given' where the images have none", accepts=REFUSED)
def _() -> None:
    lt.PartPrototypes(1).fit(_cifar_model(), _stacked(), labels="given")


@case(KIND, "an empty class folder keeps its place under a model without names", accepts=RIGHT)
def _() -> None:
    source = lt.ImageFolder(folder({"ant": RED, "bee": -1, "cow": BLUE}))
    expect(source.class_names, ("ant", "bee", "cow"), "classes")
    expect(labels(fit(model(None), source)), {"ant": 0, "cow": 2}, "labels")


@case(KIND, "a class folder whose pictures cannot be read keeps its place", accepts=RIGHT)
def _() -> None:
    root = folder({"ant": RED, "bee": -1, "cow": BLUE})
    (root / "bee" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (root / "bee" / "list.txt").write_text("1.heic")
    expect(lt.ImageFolder(root).class_names, ("ant", "bee", "cow"), "classes")


@case(KIND, "a folder of annotations beside the classes is no class", accepts=RIGHT)
def _() -> None:
    root = folder({"ant": RED, "bee": GREEN, "annotations": -1})
    (root / "annotations" / "all.json").write_text("{}")
    expect(lt.ImageFolder(root).class_names, ("ant", "bee"), "classes")


@case(KIND, "what a Mac or a NAS leaves beside the classes is no class", accepts=RIGHT)
def _() -> None:
    root = folder({"ant": RED, "bee": GREEN, "__MACOSX": -1, ".ipynb_checkpoints": -1, "@eaDir": -1})
    expect(lt.ImageFolder(root).class_names, ("ant", "bee"), "classes")


@case(KIND, "cat and Cat side by side are one class of the model, and that is said", accepts=RIGHT)
def _() -> None:
    bank = fit(_cifar_model(), folder({"cat": RED, "Cat": GREEN}))
    expect(labels(bank), {"cat": CAT, "Cat": CAT}, "labels")
    _says(notes(bank), "one class of the model: 'Cat', 'cat' are 'cat'")


@case(KIND, "Hugging Face's ClassLabel in another order than the model's", accepts=RIGHT)
def _() -> None:
    try:
        import datasets
    except ImportError as error:
        raise Skip("needs datasets") from error
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["horse", "cat"])})
    rows = {
        "image": [Image.fromarray(pixels(c, n)) for c in (BLUE, RED) for n in range(3)],
        "label": [0, 0, 0, 1, 1, 1],
    }
    bank = fit(_cifar_model(), datasets.Dataset.from_dict(rows, features=features))
    expect(labels(bank), {"horse": HORSE, "cat": CAT}, "labels")


@case(KIND, "torchvision's ImageFolder, a subset of it, and two joined", accepts=RIGHT)
def _() -> None:
    _torchvision_names()
    from torch.utils.data import ConcatDataset, Subset
    from torchvision.datasets import ImageFolder

    first, second = ImageFolder(folder({"cat": RED, "dog": GREEN})), ImageFolder(folder({"dog": GREEN, "horse": BLUE}))
    expect(labels(fit(_cifar_model(), first)), {"cat": CAT, "dog": DOG}, "labels")
    expect(labels(fit(_cifar_model(), Subset(second, [0, 1, 2, 5, 6]))), {"dog": DOG, "horse": HORSE}, "of a subset")
    joined = fit(_cifar_model(), Subset(ConcatDataset([first, second]), list(range(16))))
    expect(labels(joined), {"cat": CAT, "dog": DOG, "horse": HORSE}, "joined")


class _Rows:
    """A data set of (picture, number) with whatever attributes it is given."""

    def __init__(self, numbers: Sequence[Any], **attributes: Any) -> None:
        self.numbers = numbers
        self.__dict__.update(attributes)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Any:
        if index >= len(self):
            raise IndexError
        return pixels(index % 3, index), self.numbers[index]


@case(KIND, "class names that are tuples of synonyms, as of torchvision's ImageNet", accepts=RIGHT)
def _() -> None:
    bank = fit(_cifar_model(), _Rows([0, 1, 0, 1, 0, 1], classes=[("feline", "cat"), ("dog", "Canis")]))
    expect(sorted(labels(bank).values()), [CAT, DOG], "labels")  # type: ignore[type-var]


@case(KIND, "a data set that knows class_to_idx alone", accepts=RIGHT)
def _() -> None:
    bank = fit(_cifar_model(), _Rows([0, 1, 0, 1, 0, 1], class_to_idx={"horse": 1, "dog": 0}))
    expect(labels(bank), {"dog": DOG, "horse": HORSE}, "labels")


@case(KIND, "a column of text labels from a table", accepts=RIGHT)
def _() -> None:
    source = lt.Images(list(_stacked()), labels=["horse"] * 4 + ["cat"] * 4 + [" dog "] * 4)
    expect(labels(fit(_cifar_model(), source)), {"horse": HORSE, "cat": CAT, "dog": DOG}, "labels")


@case(KIND, "text labels with gaps: None, NaN and empty cells are no label", accepts=RIGHT)
def _() -> None:
    source = lt.Images(list(_stacked()), labels=["cat", None, float("nan"), "", "dog"] + ["cat"] * 7)
    expect([source.label(index) for index in range(6)], [0, None, None, None, 1, 0], "labels")
    expect(source.class_names, ("cat", "dog"), "classes")


@case(KIND, "text labels beside class_names are numbered by these", accepts=RIGHT)
def _() -> None:
    source = lt.Images(_stacked()[:2], labels=["dog", "cat"], class_names=["dog", "cat"])
    expect([source.label(0), source.label(1)], [0, 1], "labels")


@case(KIND, "a text label that is not among the class_names", accepts=REFUSED)
def _() -> None:
    lt.Images(_stacked()[:2], labels=["dog", "okapi"], class_names=["dog", "cat"])


@case(KIND, "labels half texts, half numbers", accepts=REFUSED)
def _() -> None:
    lt.Images(_stacked()[:2], labels=["dog", 1])  # type: ignore[list-item]


@case(KIND, "a list of (picture, 'cat')", accepts=RIGHT)
def _() -> None:
    items = [(pixels(RED, 0), "cat"), (pixels(BLUE, 0), "horse"), (pixels(RED, 1), "Cat")]
    expect(labels(fit(_cifar_model(), items)), {"cat": CAT, "horse": HORSE, "Cat": CAT}, "labels")


@case(KIND, "a stream of dictionaries with text labels", accepts=RIGHT)
def _() -> None:
    items = ({"image": pixels(n % 3, n), "label": ("cat", "dog", "horse")[n % 3]} for n in range(9))
    expect(labels(fit(_cifar_model(), items)), {"cat": CAT, "dog": DOG, "horse": HORSE}, "labels")


@case(KIND, "a model without names takes as many classes in their order, and says so", accepts=RIGHT)
def _() -> None:
    bank = fit(model(None), folder({"ant": RED, "bee": GREEN, "cow": BLUE}))
    expect(labels(bank), {"ant": 0, "bee": 1, "cow": 2}, "labels")
    _says(notes(bank), "in their order .'ant' is class 0, 'bee' is class 1")


@case(KIND, "a model without names and another number of classes: no label, and said", accepts=RIGHT)
def _() -> None:
    bank = fit(model(None), folder({"ant": RED, "bee": GREEN}))
    expect(labels(bank), {"ant": None, "bee": None}, "labels")
    _says(notes(bank), "have no names, so nothing says which", "class_names")


@case(KIND, "transformers' LABEL_0, LABEL_1, LABEL_2 are no names", accepts=RIGHT)
def _() -> None:
    bank = fit(model(["LABEL_0", "LABEL_1", "LABEL_2"]), folder({"ant": RED, "bee": GREEN, "cow": BLUE}))
    _says(notes(bank), "classes have no names")


@case(KIND, "numbered folders under a model without names are its indices", accepts=RIGHT)
def _() -> None:
    bank = fit(model(None, at=(3, 7, 9), n_classes=10), folder({"3": RED, "7": GREEN, "9": BLUE}))
    expect(labels(bank), {"3": 3, "7": 7, "9": 9}, "labels")
    _says(notes(bank), "taken for its class indices")


@case(KIND, "twelve folders 0 to 11: indices, or '10' before '2'? no label, and said", accepts=RIGHT)
def _() -> None:
    bank = fit(model(None, n_classes=12), folder({str(number): number % 3 for number in range(12)}, n=1))
    expect(set(labels(bank).values()), {None}, "labels")
    _says(notes(bank), "'10' comes before '2'")


@case(KIND, "folders 00 to 11 mean the same either way", accepts=RIGHT)
def _() -> None:
    match = match_classes([f"{number:02d}" for number in range(12)], [f"class {number}" for number in range(12)])
    expect(match.partners, {f"{number:02d}": number for number in range(12)}, "partners")


@case(KIND, "numbers are no names: folders 3 and 5 under named classes have no label", accepts=RIGHT)
def _() -> None:
    _partners(["3", "5"], CIFAR_CLASSES, {})


@case(KIND, "digits named 0 to 9 are themselves", accepts=RIGHT)
def _() -> None:
    _partners(["7", "0"], [str(digit) for digit in range(10)], {"7": 7, "0": 0})


@case(KIND, "labels that are numbers alone are indices", accepts=RIGHT)
def _() -> None:
    bank = fit(_cifar_model(), lt.Images(_stacked(), labels=[3] * 4 + [5] * 4 + [7] * 4))
    expect({item.label for item in bank.prototypes}, {CAT, DOG, HORSE}, "labels")
    expect(bank.provenance.data["labels"]["by"], "number", "how they were matched")


@case(KIND, "a number beyond the model's classes is no label, and counted", accepts=RIGHT)
def _() -> None:
    bank = fit(model(["r", "g", "b"]), lt.Images(_stacked(), labels=[1] * 4 + [2] * 4 + [3] * 4))
    expect({item.label for item in bank.prototypes}, {1, 2, None}, "labels")
    _says(notes(bank), "4 images have no label", "counted from 1")


@case(KIND, "two lists of the same names with one name twice go by place", accepts=RIGHT)
def _() -> None:
    names = ["crane", "owl", "crane"]
    bank = fit(model(names), lt.Images(_stacked(), labels=[0] * 4 + [1] * 4 + [2] * 4, class_names=names))
    expect(
        {(item.source, item.label) for item in bank.prototypes if item.source == "image 9"} <= {("image 9", 2)},
        True,
        "",
    )
    expect({item.label for item in bank.prototypes}, {0, 1, 2}, "labels")


@case(KIND, "PartPrototypes takes labels by name, one an image", accepts=RIGHT)
def _() -> None:
    named = ["horse"] * 4 + ["cat"] * 4 + ["dog"] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        bank = lt.PartPrototypes(1, n_prototypes=4).fit(_cifar_model(), _stacked(), labels=named)
    found = {bank.unit_names[item.unit].split(",")[0]: item.index // 4 for item in bank.prototypes}
    expect(found, {"horse": 0, "cat": 1, "dog": 2}, "whose images each class's parts show")


@case(KIND, "PartPrototypes with a label by name that the model has not", accepts=REFUSED)
def _() -> None:
    lt.PartPrototypes(1).fit(_cifar_model(), _stacked(), labels=["okapi"] * 12)


@case(KIND, "PartPrototypes with numbers beyond the classes of its source", accepts=REFUSED)
def _() -> None:
    lt.PartPrototypes(1).fit(model(["r", "g", "b"]), lt.Images(_stacked(), labels=[3] * 12))


@case(KIND, "the page calls a picture's class as its folder does", accepts=RIGHT)
def _() -> None:
    bank = fit(model(["animal", "plant", "stone, rock"]), folder({"Animal": RED, "yeti": GREEN, "rock": BLUE}))
    page = bank.save(Path(tempfile.mkdtemp()) / "bank.html").read_text(encoding="utf-8")
    _says(page, r"\(Animal\)", r"\(yeti, model says plant\)", r"\(rock \(stone, rock\)\)")


@case(KIND, "the fit states the accuracy on the labels it matched", accepts=RIGHT)
def _() -> None:
    # 4 red cats, 4 green dogs: right; 4 blue pictures under "dog": wrong. 8 of 12; the okapi does not count.
    root = folder({"cat": RED, "dog": GREEN, "okapi": RED})
    for number in range(4):
        Image.fromarray(pixels(BLUE, number)).save(root / "dog" / f"blue{number}.png")
    about = fit(_cifar_model(), root).provenance
    expect(about.measures["accuracy"], 8 / 12, "accuracy", tolerance=1e-9)
    expect(about.data["labels"]["matched"], 12, "images with a label")


@case(KIND, "class names in another order are noticed: the fit warns that accuracy is near chance", accepts=RIGHT)
def _() -> None:
    root = folder({"r": RED, "g": GREEN, "b": BLUE}, n=5)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        bank = lt.EPIC(n_prototypes=1).fit(model(["g", "b", "r"]), root)
    _says(" ".join(str(one.message) for one in said), "only 0 of 15 labelled images", "mean, std, size")
    _says(bank.provenance.warning, "only 0 of 15")
    page = bank.save(Path(tempfile.mkdtemp()) / "bank.html").read_text(encoding="utf-8")
    _says(page, 'class="warnings".*only 0 of 15')


@case(KIND, "a class far below the others is named", accepts=RIGHT)
def _() -> None:
    root = folder({"r": RED, "g": GREEN, "b": RED}, n=12)
    about = fit(model(["r", "g", "b"]), root).provenance
    _says(about.warning, r"hardly knows 'b' \(0 of 12\), against 100 %")


@case(KIND, "one class folder alone that the model knows gives no warning", accepts=RIGHT)
def _() -> None:
    about = fit(model(["r", "g", "b"]), folder({"r": RED}, n=30)).provenance
    expect((about.warning, about.measures["accuracy"]), ("", 1.0), "warning and accuracy")


@case(KIND, "labels survive an interruption, though a class was added meanwhile", accepts=EITHER)
def _() -> None:
    root, place = folder({"cat": RED, "dog": GREEN, "horse": BLUE}, n=16), Path(tempfile.mkdtemp()) / "left"
    calls = []

    def stop(_: Any) -> None:
        calls.append(1)
        raise KeyboardInterrupt

    try:
        fit(_cifar_model(), root, checkpoint=place, watch=stop)
    except KeyboardInterrupt:
        (root / "bird").mkdir()  # between: the numbers of all later classes change
    bank = fit(_cifar_model(), root, checkpoint=place, resume=True)
    expect(labels(bank) | {"bird": 2}, {"bird": 2, "cat": CAT, "dog": DOG, "horse": HORSE}, "labels")
    expect(bank.provenance.measures["accuracy"], 1.0, "accuracy")


@case(KIND, "ResNet-20 with mean and std: the fit states at least .80 on CIFAR photos", accepts=RIGHT, slow=True)
def _() -> None:
    preprocess = lt.Preprocess(size=32, mean=CIFAR_MEAN, std=CIFAR_STD)
    split = lt.split(resnet20(), preprocess=preprocess, class_names=CIFAR_CLASSES)
    about = lt.EPIC().fit(split, cifar_folder()).provenance
    expect(about.measures["accuracy"] >= 0.80, True, f"accuracy {about.measures['accuracy']:.3f} of at least .80")
    expect(about.warning, "", "warning")


@case(KIND, "ResNet-20 without mean and std: the fit warns of the preprocessing", accepts=RIGHT, slow=True)
def _() -> None:
    split = lt.split(resnet20(), preprocess=lt.Preprocess(size=32), class_names=CIFAR_CLASSES)
    _says(fit(split, cifar_folder()).provenance.warning, "mean, std, size")


@case(KIND, "three real CIFAR folders under the published network: parts of cats are cats", accepts=RIGHT, slow=True)
def _() -> None:
    preprocess = lt.Preprocess(size=32, mean=CIFAR_MEAN, std=CIFAR_STD)
    split = lt.split(resnet20(), preprocess=preprocess, class_names=CIFAR_CLASSES)
    root = Path(tempfile.mkdtemp())
    for name in ("cat", "dog", "horse"):
        (root / name).mkdir()
        for photo in sorted((cifar_folder() / name).iterdir())[:40]:
            (root / name / photo.name).write_bytes(photo.read_bytes())
    bank = lt.PartPrototypes(2, n_prototypes=2).fit(split, root, labels="given")
    shown = {(bank.unit_names[item.unit].split(",")[0], item.source.split("/")[0]) for item in bank.prototypes}
    expect(shown, {("cat", "cat"), ("dog", "dog"), ("horse", "horse")}, "class of the part, folder of its picture")


@case(
    KIND,
    "published weights from a file keep timm's ImageNet names, and say they are presumed",
    accepts=RIGHT,
    slow=True,
)
def _() -> None:
    _needs_timm()
    split = lt.load("timm:tf_efficientnet_lite0", weights=real_folder() / "tf_efficientnet_lite0.safetensors")
    expect((split.class_names[0], split.class_names[281]), ("tench, Tinca tinca", "tabby, tabby cat"), "names")
    _says(split.presumed, "presumed", "1,000 classes")


@case(
    KIND, "a timm network given to split keeps ImageNet's names, and says they are presumed", accepts=RIGHT, slow=True
)
def _() -> None:
    split = lt.split(lite0(), preprocess="auto")
    expect(split.class_names[281], "tabby, tabby cat", "name")
    _says(split.presumed, "presumed")


@case(KIND, "weights from a file with seven classes get no names of the usual thousand", accepts=RIGHT, slow=True)
def _() -> None:
    _torchvision_names()
    from torchvision.models import squeezenet1_1

    path = Path(tempfile.mkdtemp()) / "seven.pt"
    torch.save(squeezenet1_1(num_classes=7).state_dict(), path)
    split = lt.load("torchvision:squeezenet1_1", weights=path)
    expect((split.class_names[0], split.presumed), ("class 0", ""), "name and what is presumed")
