"""What a fit says of its images: what was not read and what would read it, brightness, bands, sizes, copies."""

import contextlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import likethat as lt
from likethat.report.data import data_rows
from robustness_cases import REFUSED, RIGHT, Wrong, case, expect
from robustness_cases._colours import BLUE, GREEN, RED, fit, folder, model, notes, pixels

KIND = "data report"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def _rgb() -> lt.SplitModel:
    return model(["r", "g", "b"])


def _beside(name: str, content: bytes = b"x") -> tuple[str, lt.Bank]:
    """Return what a fit says of one file that lies beside pictures, and its bank."""
    root = folder({"r": RED, "g": GREEN, "b": BLUE})
    (root / "r" / name).write_bytes(content)
    bank = fit(_rgb(), root)
    return dict(bank.provenance.skipped).get(f"r/{name}", ""), bank


def _is_listed(name: str, *words: str, content: bytes = b"x") -> None:
    reason, bank = _beside(name, content)
    for word in words:
        if word not in reason:
            raise Wrong(f"expected {word!r} in the reason for {name}: {reason!r}")
    expect(bank.provenance.data["not_used"], {reason: 1}, "counted by reason")
    expect((bank.provenance.data["images"], bank.provenance.data["used"]), (13, 12), "images and used")


@case(KIND, "an iPhone's HEIC beside JPEGs is listed with pillow-heif", accepts=RIGHT)
def _() -> None:
    _is_listed("IMG_1.HEIC", "HEIC", "pillow-heif", content=HEIC)


@case(KIND, "a HEIC that is called .jpg is told by its content", accepts=RIGHT)
def _() -> None:
    _is_listed("IMG_1.jpg", "HEIC", "pillow-heif", content=HEIC)


@case(KIND, "DICOM by its ending", accepts=RIGHT)
def _() -> None:
    _is_listed("scan.dcm", "DICOM", "pydicom")


@case(KIND, "DICOM without an ending is told by its content", accepts=RIGHT)
def _() -> None:
    _is_listed("IM000001", "DICOM", "pydicom", content=b"\0" * 128 + b"DICM" + b"\0" * 64)


@case(KIND, "an SVG is listed", accepts=RIGHT)
def _() -> None:
    _is_listed("logo.svg", "SVG", "CairoSVG")


@case(KIND, "an SVG that is called .png", accepts=RIGHT)
def _() -> None:
    _is_listed("logo.png", "SVG", content=b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>")


@case(KIND, "a camera's raw file is listed with rawpy", accepts=RIGHT)
def _() -> None:
    _is_listed("DSC_0001.NEF", "raw", "rawpy")


@case(KIND, "a film is listed", accepts=RIGHT)
def _() -> None:
    _is_listed("clip.MP4", "film", "ffmpeg")


@case(KIND, "a NIfTI volume with two endings is listed with nibabel", accepts=RIGHT)
def _() -> None:
    _is_listed("brain.nii.gz", "NIfTI", "nibabel")


@case(KIND, "JPEG XL is listed with its plugin", accepts=RIGHT)
def _() -> None:
    _is_listed("a.jxl", "JPEG XL", "pillow-jxl-plugin")


@case(KIND, "a whole-slide picture is listed with openslide", accepts=RIGHT)
def _() -> None:
    _is_listed("slide.svs", "openslide")


@case(KIND, "a damaged picture is counted with its reason", accepts=RIGHT)
def _() -> None:
    _is_listed("empty.png", "empty", content=b"")


@case(KIND, "a text file, a table and a hidden file are no pictures and not listed", accepts=RIGHT)
def _() -> None:
    for name in ("notes.txt", "labels.csv", ".hidden.png"):
        expect(_beside(name)[0], "", f"what is said of {name}")


@case(KIND, "a folder of nothing but HEIC names the plugin", accepts=REFUSED)
def _() -> None:
    root = Path(tempfile.mkdtemp())
    (root / "a.heic").write_bytes(HEIC)
    try:
        lt.ImageFolder(root)
    except lt.errors.InputError as error:
        expect("pillow-heif" in str(error), True, f"the plugin in {str(error)!r}")
        raise


@case(KIND, "a list of paths with a HEIC among them names the plugin", accepts=RIGHT)
def _() -> None:
    root = folder({"r": RED})
    (root / "a.heic").write_bytes(HEIC)
    bank = fit(_rgb(), [root / "a.heic", *sorted((root / "r").iterdir())])
    expect("pillow-heif" in bank.provenance.skipped[0][1], True, f"{bank.provenance.skipped[0]}")


@case(KIND, "brightness from the darkest to the brightest value, and its mean", accepts=RIGHT)
def _() -> None:
    images = torch.full((4, 3, 8, 8), 0.5)
    images[0, :, 0, 0], images[1, :, 0, 0] = 0.25, 0.75  # the mean of all stays .5
    images[2, 0, 0, 0] = images[3, 1, 0, 0] = 0.5625
    # 2 x 1/16 over 4 x 192 values is .00016: the mean .5 + .0002 to four places
    bright = fit(_rgb(), images).provenance.data["brightness"]
    expect([bright["lowest"], bright["highest"], bright["mean"]], np.array([0.25, 0.75, 0.5002]), "", tolerance=1e-6)


@case(KIND, "pictures in the lowest quarter of the scale are called dark", accepts=RIGHT)
def _() -> None:
    bank = fit(_rgb(), np.stack([pixels(n % 3, n) for n in range(6)]).astype(np.float32) / 255 / 8)
    expect("The images are dark" in notes(bank), True, notes(bank))


@case(KIND, "pictures of one flat colour are counted", accepts=RIGHT)
def _() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images[3] = 0.5
    bank = fit(_rgb(), images)
    expect(bank.provenance.data["brightness"]["flat"], 1, "flat pictures")
    expect("1 image is of one flat colour" in notes(bank), True, notes(bank))


@case(KIND, "grey and colour pictures are counted by their bands", accepts=RIGHT)
def _() -> None:
    root = folder({"r": RED})
    Image.fromarray(pixels(RED)).convert("L").save(root / "r" / "grey.png")
    expect(fit(_rgb(), root).provenance.data["bands"], {"1": 1, "3": 4}, "bands")


@case(KIND, "sizes as they came, and those that the model enlarges", accepts=RIGHT)
def _() -> None:
    split = _rgb()
    split = lt.split(split.network, preprocess=lt.Preprocess(size=16), class_names=["r", "g", "b"])
    root = folder({"r": RED})  # four of 8 x 8
    Image.fromarray(pixels(RED)).resize((40, 20)).save(root / "r" / "wide.png")
    data = fit(split, root).provenance.data
    expect(data["sizes"], {"smallest": [8, 8], "largest": [40, 20], "different": 2}, "sizes, width first")
    expect((data["seen_at"], data["enlarged"]), ([16, 16], 4), "the size seen, and how many are enlarged")


@case(KIND, "copies of a picture are counted and named", accepts=RIGHT)
def _() -> None:
    root = folder({"r": RED})
    (root / "r" / "9.png").write_bytes((root / "r" / "0.png").read_bytes())
    bank = fit(_rgb(), root)
    found = bank.provenance.data["duplicates"]
    expect(found, {"images": 1, "under_several_labels": 0, "first": [["r/0.png", "r/9.png"]]}, "duplicates")
    expect("as r/0.png = r/9.png" in notes(bank), True, notes(bank))


@case(KIND, "the same picture in two classes is said", accepts=RIGHT)
def _() -> None:
    root = folder({"r": RED, "g": GREEN})
    Image.open(root / "r" / "0.png").save(root / "g" / "again.bmp")  # another file, the same pixels
    bank = fit(_rgb(), root)
    expect(bank.provenance.data["duplicates"]["under_several_labels"], 1, "pictures in several classes")
    expect("1 picture lies in several classes" in notes(bank), True, notes(bank))


@case(KIND, "fewer images than channels is said", accepts=RIGHT)
def _() -> None:
    few = fit(_rgb(), torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    expect("fewer images (2) than channels (3)" in notes(few), True, notes(few))
    enough = fit(_rgb(), torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    expect("fewer images" in notes(enough), False, notes(enough))


def _saved(bank: lt.Bank) -> Path:
    return bank.save(Path(tempfile.mkdtemp()) / "bank")


@case(KIND, "the report is in the bank that was saved, and opens with it", accepts=RIGHT)
def _() -> None:
    bank = fit(_rgb(), folder({"r": RED, "g": GREEN, "b": BLUE}))
    expect(lt.open_bank(_saved(bank)).provenance.data, bank.provenance.data, "the report")


@case(KIND, "the page and the words say the same", accepts=RIGHT)
def _() -> None:
    bank = fit(_rgb(), folder({"r": RED, "g": GREEN, "b": BLUE}))
    page = bank.save(Path(tempfile.mkdtemp()) / "bank.html").read_text(encoding="utf-8")
    rows = dict(data_rows(bank.provenance.data))
    expect(rows["Accuracy on them"], "100.0 % (12 of 12)", "accuracy in words")
    expect(rows["Labels"], "12 of 12 are classes of the model, by name (3 of its 3 classes)", "labels in words")
    expect(all(value in page for value in rows.values()), True, "all of it on the page")


@case(KIND, "a report that somebody forged is left out or shown as text", accepts=RIGHT)
def _() -> None:
    bank = fit(_rgb(), folder({"r": RED}))
    evil: dict[str, Any] = {"images": "<b>", "used": None, "bands": {"<script>alert(1)</script>": 3}, "sizes": [1]}
    evil["labels"] = {"given": 1, "unmatched": {"<script>alert(1)</script>": 2}, "renamed": [], "accuracy": "nan"}
    bank.provenance.data.clear()  # type: ignore[attr-defined]
    bank.provenance.data.update(evil)  # type: ignore[attr-defined]
    page = bank.save(Path(tempfile.mkdtemp()) / "bank.html").read_text(encoding="utf-8")
    expect("<script>alert(1)" in page, False, "a script in the page")


def _without_times(bank: lt.Bank) -> dict[str, Any]:
    manifest = json.loads((_saved(bank) / "manifest.json").read_text(encoding="utf-8"))
    about: dict[str, Any] = manifest["provenance"]
    for name in ("created", "seconds"):
        del about[name]
    about["measures"].pop("backbone_seconds")
    return about


def _eighty() -> lt.Images:
    images = np.stack([pixels(n % 3, n // 2) for n in range(80)])
    return lt.Images(list(images), labels=[("r", "g", "b")[n % 3] for n in range(80)])


@case(KIND, "the same report whatever the batch size and the number of threads", accepts=RIGHT)
def _() -> None:
    plain = _without_times(fit(_rgb(), _eighty()))
    for options in ({"batch_size": 7}, {"batch_size": 80, "workers": 2}, {"workers": 3}):
        expect(_without_times(fit(_rgb(), _eighty(), **options)), plain, f"with {options}")


@case(KIND, "the same report after an interruption", accepts=RIGHT)
def _() -> None:
    plain, place, calls = _without_times(fit(_rgb(), _eighty())), Path(tempfile.mkdtemp()) / "left", []

    def stop(_: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        fit(_rgb(), _eighty(), checkpoint=place, watch=stop, workers=2)
    expect(_without_times(fit(_rgb(), _eighty(), checkpoint=place, resume=True)), plain, "after a resume")


@case(KIND, "a stream has a report too", accepts=RIGHT)
def _() -> None:
    items = ((pixels(n % 3, n), ("r", "g", "b")[n % 3]) for n in range(9))
    data = fit(_rgb(), items).provenance.data
    expect((data["images"], data["labels"]["matched"], data["labels"]["accuracy"]), (9, 9, 1.0), "counts")


@case(KIND, "a bank of before, without a report, opens and shows its page", accepts=RIGHT)
def _() -> None:
    from likethat.explanations.records import Provenance

    old = Provenance(method="EPIC", options={}, seed=0, fingerprint="", model="m", n_images=1)
    expect((dict(old.data), old.warning, data_rows(old.data)), ({}, "", ()), "what an old bank says")


@case(KIND, "the console prints the report of a fit", accepts=RIGHT, slow=True)
def _() -> None:
    from typer.testing import CliRunner

    from likethat.cli.main import app

    root = Path(tempfile.mkdtemp())
    for digit in ("3", "7"):
        (root / digit).mkdir()
        for number in range(6):
            Image.fromarray(pixels(number % 3, number)).convert("L").save(root / digit / f"{number}.png")
    (root / "3" / "a.heic").write_bytes(HEIC)
    words = ["fit", "epic", "-m", "zoo:digits", "-i", str(root), "-o", str(root.parent / f"{root.name}-bank")]
    result = CliRunner().invoke(app, words)
    said = re.sub(r"\s+", " ", result.output)
    for word in ("12 of 13", "pillow-heif", "accuracy", "12 of 12 are classes of the model"):
        if word not in said:
            raise Wrong(f"expected {word!r} in: {said}")
