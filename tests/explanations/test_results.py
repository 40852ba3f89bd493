"""All results as plain values, as tables, in a notebook, on disk and back."""

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from toys import pictures, same_files, small_cnn

import likethat as lt
from likethat._documents import digest_of
from likethat.errors import InputError
from likethat.explanations import ExemplarSet, Film
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Change, Counterfactual, Edit, SearchPath
from likethat.explanations.status import Reason, Status

pytestmark = pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random
NAMES = ("ant", "bee <b>", "café")
DONE = Status(reached=True, reason=Reason.REACHED)


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    images = pictures(60)
    model = lt.split(small_cnn(), example=images[:4], class_names=NAMES)
    return lt.EPIC(n_prototypes=2).fit(model, lt.Images(images, labels=[i % 3 for i in range(60)]))


def other() -> lt.Bank:
    images = pictures(60)
    return lt.EPIC(n_prototypes=2).fit(lt.split(small_cnn(seed=1), example=images[:4], class_names=NAMES), images)


def inputs_of(kind: str, n: int) -> Any:
    if kind == "image":
        return torch.rand(n, 3, 6, 5, dtype=torch.float32, generator=torch.Generator().manual_seed(n))
    if kind == "text":
        return [f"=text {place}\n" for place in range(n)]
    colours = pd.Categorical(["red", "blue", None][:n], categories=["red", "blue", "green"], ordered=True)
    columns = {"age": [3, 4, 5][:n], "pay": [0.1, np.nan, 2.0][:n], "name": ["a", "é", None][:n], "colour": colours}
    return pd.DataFrame(columns).astype({"age": np.int32})


def exemplars(kind: str = "image") -> ExemplarSet:
    numbers = torch.tensor([0.1, 0.2], dtype=torch.float32)
    return ExemplarSet(
        target=1,
        description="bee",
        wanted=None,
        inputs=inputs_of(kind, 2),
        latents=torch.ones(2, 4, dtype=torch.float32),
        probabilities=torch.full((2, 3), 1 / 3, dtype=torch.float32),
        errors=numbers,
        reached=torch.tensor([True, False]),
        log_prior=-numbers,
        prior_quantile=numbers,
        distance_to_real=None,
        diversity=float("nan"),
        status=DONE,
        queries=5,
        shared_queries=0,
        curve=torch.tensor([0.5, 0.1, float("inf")], dtype=torch.float32),
        film=Film(inputs=inputs_of(kind, 3), queries=torch.tensor([1, 2, 3]), errors=torch.rand(3)),
        typical=inputs_of(kind, 2),
        class_names=NAMES,
        method="cma",
        options={"size": 3, "scale": 0.5},
    )


def counterfactual(kind: str = "image") -> Counterfactual:
    def edit(n: int) -> Edit:
        changes = () if kind == "image" else (Change(name="age", before=3, after=np.int64(4)),)
        chances = np.asarray([0.1, 0.7, 0.2])
        return Edit(input=inputs_of(kind, n), probabilities=chances, l1=0.1, l2=0.2, is_valid=True, changes=changes)

    return Counterfactual(
        source=inputs_of(kind, 1),
        source_probabilities=np.asarray([0.9, 0.05, 0.05]),
        target=1,
        class_names=NAMES,
        edits=(edit(1), edit(1)),
        best=edit(1),
        mean=None,
        mask=np.eye(6, 5) > 0 if kind == "image" else None,
        path=SearchPath(queries=np.asarray([1, 2]), probability=np.asarray([0.1, 0.7]), distance=np.asarray([0, 0.1])),
        queries=2,
        seconds=0.1,
        status=DONE,
        model="m",
        generator="none",
        rule="r",
        seed=0,
    )


def attribution() -> Attribution:
    heat = np.linspace(-1, 1, 30, dtype=np.float32).reshape(6, 5)
    return Attribution(
        image=np.full((3, 6, 5), 0.5, dtype=np.float32),
        probabilities=np.asarray([0.2, 0.7, 0.1]),
        target=1,
        class_names=NAMES,
        heat_map=heat,
        error=np.full((6, 5), 0.1, dtype=np.float32),
        queries=9,
        seconds=0.5,
        method="patches",
        status=DONE,
        model="m",
        generator="none",
        seed=3,
        notes=("a note",),
    )


@pytest.fixture(scope="module")
def results(bank: lt.Bank) -> dict[str, Any]:
    found: dict[str, Any] = {"bank": bank, "attribution": attribution()}
    images = lt.Images(pictures(60), labels=[i % 3 for i in range(60)])
    found["audit"] = lt.audit(bank.model, images, n_shortcuts=1, n_pictures=2)
    found["comparison"] = lt.compare(bank, other(), images, n_pictures=2, n_flips=2)
    found["explanation"] = bank.explain(pictures(2)[1], target=1)
    for kind in ("image", "table", "text"):
        found |= {f"exemplars {kind}": exemplars(kind), f"counterfactual {kind}": counterfactual(kind)}
    return found


KINDS = [f"{name} {kind}" for name in ("exemplars", "counterfactual") for kind in ("image", "table", "text")]
KINDS += ["bank", "explanation", "attribution", "audit", "comparison"]


@pytest.mark.parametrize("kind", KINDS)
def test_plain_values_and_a_table(results: dict[str, Any], kind: str, tmp_path: Path) -> None:
    result = results[kind]
    document = json.loads(result.save(tmp_path / "a.json").read_text("utf-8"))
    assert len(document.pop("likethat")) == 64  # the seal
    assert document == result.to_dict()
    assert (document["schema"], document["kind"]) == (1, type(result).__name__)
    assert document["class_names"] == list(NAMES)
    frame = result.to_frame()
    with result.save(tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == len(frame) + 1
    with pytest.raises(InputError, match=r"`path` must end in .* got 'a.xlsx'"):
        result.save(tmp_path / "a.xlsx")


FIGURES = [("attribution", ending) for ending in (".png", ".svg", ".pdf")]  # all results draw theirs by one road


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_result_is_a_figure(results: dict[str, Any], kind: str, ending: str, tmp_path: Path) -> None:
    data = results[kind].save(tmp_path / f"why{ending}").read_bytes()
    begins = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending]
    assert data.startswith(begins)
    if ending == ".png":
        with Image.open(tmp_path / "why.png") as picture:
            assert len(set(picture.convert("L").get_flattened_data())) > 2  # more than a blank page


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "ending"), [*((kind, ending) for kind in KINDS for ending in (".html", ".json", ".csv")), *FIGURES]
)
def test_a_file_is_saved_again_and_one_of_the_users_is_not_touched(
    results: dict[str, Any], kind: str, ending: str, tmp_path: Path
) -> None:
    path = results[kind].save(tmp_path / f"a{ending}")
    results[kind].save(path)
    with path.open("ab") as file:
        file.write(b"the user's")
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"a{ending}, which has no seal of likethat's or was changed since"):
        results[kind].save(path)
    assert path.read_bytes() == before
    assert results[kind].save(path, overwrite=True).read_bytes() != before


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_and_a_short_table(results: dict[str, Any], kind: str) -> None:
    assert len(repr(results[kind])) < 300
    assert "\n" not in repr(results[kind])
    shown = results[kind]._repr_html_()
    assert len(shown) < 20_000
    assert "<b>" not in shown


@pytest.mark.parametrize("kind", ["exemplars text", "counterfactual table", "attribution"])
def test_names_of_several_lines_still_print_as_one(results: dict[str, Any], kind: str) -> None:
    names = ("ant\nor bee", "\x1b[31mred", "café\r\n" * 999)
    odd = dataclasses.replace(results[kind], class_names=names, **({"description": names[2]} if "ex" in kind else {}))
    assert repr(odd).isprintable()
    assert len(repr(odd)) <= 240


def test_values_say_what_one_would_work_out(results: dict[str, Any]) -> None:
    why = results["explanation"].to_dict()
    terms = [row["total"] for row in why["rows"]] + [why["rest"], why["bias"]]
    assert sum(terms) == pytest.approx(why["logit"], abs=1e-5)
    assert (why["target_name"], why["against_name"]) == ("bee <b>", None)
    found = results["counterfactual table"].to_dict()
    assert (found["target_name"], found["source_class"], found["input_kind"]) == ("bee <b>", 0, "table")
    assert results["counterfactual table"].to_frame()["input age"].tolist() == [3, 3]
    none_found = dataclasses.replace(results["counterfactual table"], edits=())
    assert list(none_found.to_frame().columns) == list(results["counterfactual table"].to_frame().columns)
    assert results["exemplars image"].to_dict()["confidence"] == pytest.approx([1 / 3, 1 / 3])
    assert results["bank"].to_frame()["name"][0] == "channel 0"


TABLES = {
    "numbers of rows": pd.DataFrame({"a": [1]}, index=[12]),
    "named rows": pd.DataFrame({"a": [1]}, index=pd.Index(["r"], name="customer")),
    "missing whole number": pd.DataFrame({"a": pd.array([None], dtype="Int64")}),
    "missing text": pd.DataFrame({"a": pd.array([None], dtype="string")}),
    "a time of nanoseconds": pd.DataFrame({"a": pd.to_datetime(["2020-01-01 10:00:00.123456789"])}),
    "no time": pd.DataFrame({"a": pd.to_datetime([None])}),
    "a number as name": pd.DataFrame({3: [1]}),
    "two columns of one name": pd.DataFrame([[1, 2]], columns=["a", "a"]),
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_tables_come_back_with_their_index(table: pd.DataFrame, tmp_path: Path) -> None:
    found = counterfactual("table")
    best = dataclasses.replace(found.best, input=table)
    saved = dataclasses.replace(found, source=table, best=best, edits=()).save(tmp_path / "a")
    opened = lt.open(saved)
    assert isinstance(opened, Counterfactual)
    pd.testing.assert_frame_equal(opened.source, table)


ROWS: list[tuple[str, Any, str]] = [
    ("unit", -1, "has the unit -1, of 16"),
    ("box", [3, 3, 2, 4], r"has the box \(3, 3, 2, 4\)"),
    ("cell", [0, -1], r"has the cell \(0, -1\)"),
    ("image", "../../secret", "names the picture '../../secret', which is not there"),
    ("predicted", 3, "has the class 3, of 3"),
]


@pytest.mark.parametrize(("field", "value", "why"), ROWS)
def test_rows_that_belong_to_no_bank_are_refused(
    results: dict[str, Any], field: str, value: Any, why: str, tmp_path: Path
) -> None:
    def change(record: dict[str, Any]) -> None:
        row = next(row for row in record["values"]["rows"] if row["prototypes"])
        (row if field in ("cell", "box") else row["prototypes"][0])[field] = value

    folder = results["explanation"].save(tmp_path / "a")
    forge(folder, change)
    with pytest.raises(InputError, match=f"is damaged: one of its rows {why}"):
        lt.open(folder)


def test_a_heat_map_that_does_not_add_up_is_refused(results: dict[str, Any], tmp_path: Path) -> None:
    why = results["explanation"]
    rows = (dataclasses.replace(why.rows[0], heat_map=-why.rows[0].heat_map), *why.rows[1:])
    folder = dataclasses.replace(why, rows=rows).save(tmp_path / "a")
    with pytest.raises(InputError, match="one of its rows has a heat map that does not add up to its contribution"):
        lt.open(folder)


UNFIT: list[tuple[str, dict[str, Any], str]] = [
    ("exemplars table", {"options": {"tolerance": "x"}}, r"does not fit: expected `float`, got `str`"),
    ("exemplars image", {"typical": inputs_of("image", 2)[:, :, :3]}, "its inputs are not of one form"),
    ("attribution", {"image": np.zeros((0, 6, 5), np.float32)}, "its image is empty"),
    ("exemplars text", {"reached": torch.ones(2)}, "what it says is reached is neither yes nor no"),
    ("exemplars text", {"typical": "one"}, "record.json does not fit its files"),
    ("exemplars text", {"inputs": ["one"]}, "it holds more or fewer inputs than it says"),
    ("exemplars image", {"prior_quantile": torch.tensor([0.5, -0.1])}, r"its prior quantile must lie in \[0, 1\]"),
    ("counterfactual text", {"source": ["one", "two"]}, "it holds several inputs where one belongs"),
    ("counterfactual table", {"source": pd.DataFrame({"age": [3]})}, "its inputs are not of one form"),
    (
        "counterfactual image",
        {"source_probabilities": np.asarray([1.2, -0.1, -0.1])},
        "its source probabilities must lie",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "why"), UNFIT)
def test_what_does_not_belong_together_is_refused(
    results: dict[str, Any], kind: str, fields: dict[str, Any], why: str, tmp_path: Path
) -> None:
    folder = dataclasses.replace(results[kind], **fields).save(tmp_path / "a")
    with pytest.raises(InputError, match=f"is damaged: {why}"):
        lt.open(folder)


def test_boxes_as_coco(results: dict[str, Any], tmp_path: Path) -> None:
    bank = results["bank"]
    folder = bank.save(tmp_path / "bank")
    document = json.loads(bank.save(tmp_path / "a.coco.json").read_text("utf-8"))
    assert set(document) == {"info", "licenses", "images", "annotations", "categories", "likethat"}
    shown = [item for item in bank.prototypes if item.kind == "positive"]
    names = {image["id"]: image for image in document["images"]}
    for item, box in zip(shown, document["annotations"], strict=True):
        left, top, width, height = box["bbox"]
        assert (left, top, left + width, top + height) == item.box
        assert box["area"] == width * height
        assert names[box["image_id"]]["file_name"] == f"images/{item.image}.png"
        assert {one["id"]: one["name"] for one in document["categories"]}[box["category_id"]] == bank.unit_names[
            item.unit
        ]
    for image in document["images"]:
        with Image.open(folder / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
    with pytest.raises(InputError, match=r"got 'a\.coco\.json': boxes on pictures .* of the kind Attribution"):
        attribution().save(tmp_path / "a.coco.json")


def test_tables_hold_the_numbers(results: dict[str, Any]) -> None:
    why = results["explanation"]
    assert why.to_frame()["total"].tolist() == [row.total for row in why.rows]
    assert why.to_frame()[["left", "top", "right", "bottom"]].to_numpy().tolist() == [list(row.box) for row in why.rows]
    assert len(results["bank"].to_frame()) == len(results["bank"].prototypes)
    pixels = results["attribution"].to_frame()
    assert [pixels["row"][0], pixels["column"][0], pixels["value"][0]] == [0, 0, -1.0]
    assert results["exemplars table"].to_frame()["input age"].tolist() == [3, 4]


def same(one: Any, other: Any) -> bool:
    """Compare all of two records, types and NaN included."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
        return True
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one) if field.name != "images"]
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, tuple | list):
        return type(one) is type(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) or (np.isnan(one) and np.isnan(other))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bank"])
def test_opens_as_it_was_saved(results: dict[str, Any], kind: str, tmp_path: Path) -> None:
    opened = lt.open(results[kind].save(tmp_path / "a"))
    assert same(results[kind], opened)
    assert same_files(tmp_path / "a", opened.save(tmp_path / "b"))


def test_a_bank_and_the_pictures_of_an_explanation_open(results: dict[str, Any], tmp_path: Path) -> None:
    opened = lt.open(results["bank"].save(tmp_path / "bank"))
    assert isinstance(opened, lt.Bank)
    assert opened.prototypes == results["bank"].prototypes
    why = results["explanation"]
    again = lt.open(why.save(tmp_path / "why"))
    assert isinstance(again, lt.Explanation)
    shown = {item.image for row in why.rows for item in row.prototypes}
    assert set(again.images) == shown
    assert all(np.array_equal(again.images[key], why.images[key]) for key in shown)
    assert again.save(tmp_path / "why.html").exists()


def test_names_of_the_users_own_are_no_arrays(tmp_path: Path) -> None:
    odd = dataclasses.replace(attribution(), options={"$array": "heat_map", "$$": {"$table": [1]}})
    opened = lt.open(odd.save(tmp_path / "a"))
    assert isinstance(opened, Attribution)
    assert opened.options == odd.options


def forge(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    record = json.loads((folder / "record.json").read_text("utf-8"))
    change(record)
    record["digest"] = digest_of(record)
    (folder / "record.json").write_text(json.dumps(record), "utf-8")


def test_a_newer_record_names_its_writer(tmp_path: Path) -> None:
    folder = attribution().save(tmp_path / "a")
    forge(folder, lambda record: record.update(schema=2, version="9.1", values=None))
    with pytest.raises(InputError, match=r"written by likethat '9\.1': it has schema 2\. Update likethat"):
        lt.open(folder)


def test_a_field_that_a_later_version_added_is_let_be(tmp_path: Path) -> None:
    folder = attribution().save(tmp_path / "a")
    forge(folder, lambda record: (record.update(more=1), record["values"].update(more=[2])))
    assert same(lt.open(folder), attribution())


DEEP: Any = {"a": 1}
for _ in range(400):
    DEEP = [DEEP]
FORGED: list[Callable[[dict[str, Any]], Any]] = [
    lambda record: record.update(kind="Bank"),
    lambda record: record.update(kind=3),
    lambda record: record.update(schema="1"),
    lambda record: record.pop("values"),
    lambda record: record.update(sha256={}),
    lambda record: record["values"].pop("class_names"),
    lambda record: record["values"].update(target=3),
    lambda record: record["values"].update(target=-1),
    lambda record: record["values"].update(target=10**400),
    lambda record: record["values"].update(class_names=["a"]),
    lambda record: record["values"].update(class_names=DEEP),
    lambda record: record["values"].update(heat_map=3),
    lambda record: record["values"].update(heat_map={"$array": "missing"}),
    lambda record: record["values"].update(heat_map={"$array": "image"}),
    lambda record: record["values"].update(heat_map={"$tensor": "heat_map"}),
    lambda record: record["values"].update(heat_map={"$table": [{"name": 1}]}),
    lambda record: record["values"].update(heat_map={"$table": [{"name": 1, "values": [1], "dtype": "nothing"}]}),
    lambda record: record["values"].update(image={"$array": "heat_map"}),
    lambda record: record["values"].update(status={"reached": "yes"}),
    lambda record: record["values"].update(notes="a note"),
]


@pytest.mark.parametrize("change", FORGED)
def test_a_forged_record_is_one_sentence(change: Callable[[dict[str, Any]], Any], tmp_path: Path) -> None:
    folder = attribution().save(tmp_path / "a")
    forge(folder, change)
    with pytest.raises(InputError, match=r"^the result .* is damaged: .*\. Restore the folder, or make"):
        lt.open(folder)


@pytest.mark.parametrize("kind", ["explanation", "exemplars table", "counterfactual image"])
def test_a_damaged_file_is_one_sentence(results: dict[str, Any], kind: str, tmp_path: Path) -> None:
    folder = results[kind].save(tmp_path / "a")
    pictures = list((folder / "images").iterdir())[:1] if (folder / "images").exists() else []
    for file in (folder / "record.json", folder / "tensors.safetensors", *pictures):
        whole = file.read_bytes()
        for damaged in (b"", whole[:-9], whole[: len(whole) // 2] + b"x" + whole[len(whole) // 2 + 1 :], b"[" * 10**5):
            file.write_bytes(damaged)
            with pytest.raises(InputError, match=r"^the result .* is damaged: "):
                lt.open(folder)
        file.write_bytes(whole)
    lt.open(folder)


def test_inputs_of_several_kinds_are_refused(tmp_path: Path) -> None:
    folder = counterfactual("text").save(tmp_path / "a")
    forge(folder, lambda record: record["values"].update(source={"$array": "source_probabilities"}))
    with pytest.raises(InputError, match="is damaged"):
        lt.open(folder)


def test_what_is_no_result(results: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^`path` must be the folder of a saved result, got .*record.json"):
        lt.open(tmp_path / "nothing")
    folder = attribution().save(tmp_path / "a")
    with pytest.raises(InputError, match="`model` must be None"):
        lt.open(folder, small_cnn())


@pytest.mark.slow
@pytest.mark.parametrize("crop", ["center", "squash", "border"])
def test_boxes_at_the_originals_size_show_what_the_box_shows(crop: Any, tmp_path: Path) -> None:
    """A bright square in a dark photograph: its box in the view and its box in the original are the same place."""
    photos = torch.full((24, 3, 90, 150), 0.1)
    places = [(10 + 3 * (n % 12), 30 + 4 * (n % 17)) for n in range(len(photos))]
    for photo, (top, left) in zip(photos, places, strict=True):
        photo[:, top : top + 12, left : left + 12] = 0.9
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=32, resize=36, crop=crop), example=pictures(4))
    bank = lt.EPIC(n_prototypes=2).fit(model, [(photo, 0) for photo in photos])
    document = bank.to_coco(originals=True)
    assert {(image["width"], image["height"]) for image in document["images"]} == {(150, 90)}
    files = {image["id"]: image["file_name"] for image in document["images"]}
    shown = [item for item in bank.prototypes if item.kind == "positive"]
    for item, box in zip(shown, document["annotations"], strict=True):
        assert files[box["image_id"]] == item.source
        left, top, width, height = box["bbox"]
        assert 0 <= left < left + width <= 150
        assert 0 <= top < top + height <= 90
        marked = torch.zeros(3, 90, 150)
        marked[:, round(top) : round(top + height), round(left) : round(left + width)] = 1
        seen = model.preprocess.view(marked)[0] > 0.5
        expected = torch.zeros_like(seen)
        expected[item.box[1] : item.box[3], item.box[0] : item.box[2]] = True
        inside = model.preprocess.view(torch.ones(3, 90, 150))[0] > 0.5  # what is padded belongs to no original
        assert int((seen ^ (expected & inside)).sum()) <= 2 * (32 + 32)  # a pixel along the edges, for rounding
        assert bool((seen & expected).any()) or not bool((expected & inside).any())
    opened = lt.open(bank.save(tmp_path / "bank"))
    assert isinstance(opened, lt.Bank)
    assert opened.to_coco(originals=True) == document


def test_a_bank_that_does_not_know_its_originals_says_so(results: dict[str, Any]) -> None:
    earlier = Path(__file__).parents[1] / "kept" / "schema-1"
    folder = next(path for path in sorted(earlier.iterdir()) if (path / "manifest.json").exists())
    with pytest.raises(InputError, match=r"`originals` must be False for this bank, got True: .* before 0\.2"):
        lt.open_bank(folder).to_coco(originals=True)
    with pytest.raises(InputError, match=r"`originals` must be True or False, got 1"):
        results["bank"].to_coco(originals=1)
