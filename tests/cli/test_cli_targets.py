"""A line in words: what is printed is read, each form, what is refused; and through the commands, of three models."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from command_line import likethat
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

import likethat as lt
from likethat._responses import Wanted, measure_of
from likethat.cli.exemplars import _targets
from likethat.cli.targets import output_for, read_target
from likethat.errors import InputError
from likethat.generators.priors import StandardNormal

NAMES = ("price", "above 5", "square metres", "7", "not less", "less by")
NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12).filter(lambda n: abs(n) >= 1000),
    st.integers(-9999, 9999).map(lambda n: n / 100).filter(lambda x: abs(x) < 1000),
)  # as sentences show them without loss: whole ones from 1000 on, else four digits
SIZES = st.one_of(st.integers(1000, 10**9), st.integers(1, 9999).map(lambda n: n / 1000))
OF = st.sampled_from(NAMES)
LINES = st.one_of(
    st.builds(lt.Above, NUMBERS, of=OF),
    st.builds(lt.Below, NUMBERS, of=OF),
    st.tuples(NUMBERS, NUMBERS, OF).filter(lambda t: t[0] < t[1]).map(lambda t: lt.Between(t[0], t[1], of=t[2])),
    st.builds(lt.Less, by=SIZES, of=OF),
    st.builds(lt.More, by=SIZES, of=OF),
    st.builds(lt.Less, percent=st.integers(1, 9999).map(lambda n: n / 10), of=OF),
    st.builds(lt.More, percent=st.integers(1, 9999).map(lambda n: n / 10), of=OF),
)
SHARES = st.integers(1, 999).map(lambda n: n / 1000)
CHANCES = st.one_of(
    st.builds(lt.Above, SHARES, of=OF),
    st.builds(lt.Below, SHARES, of=OF),
    st.tuples(SHARES, SHARES, OF).filter(lambda t: t[0] < t[1]).map(lambda t: lt.Between(t[0], t[1], of=t[2])),
    st.builds(lt.Less, by=SHARES, of=OF),
    st.builds(lt.More, percent=st.integers(1, 99), of=OF),
)


def printed(target: Wanted, output: str) -> str:
    """Return what a command prints of it, for a source that answers with 3 everywhere."""
    measure = measure_of(target, NAMES, output=output, source=torch.full((len(NAMES),), 3.0))
    assert measure is not None
    return str(measure.about)


@settings(max_examples=150, deadline=None)
@given(LINES)
def test_what_is_printed_of_a_number_is_read(target: Wanted) -> None:
    assert read_target(printed(target, "numbers"), NAMES, output="numbers") == target


@settings(max_examples=100, deadline=None)
@given(CHANCES)
def test_what_is_printed_of_a_probability_is_read(target: Wanted) -> None:
    assert read_target(printed(target, "probabilities"), NAMES, output="probabilities") == target


@settings(max_examples=30, deadline=None)
@given(st.builds(lt.Label, OF, on=st.booleans()))
def test_what_is_printed_of_a_label_is_read(target: lt.Label) -> None:
    said = printed(target, "labels")
    assert (
        measure_of(read_target(said, NAMES), NAMES, output="labels").about
        == measure_of(  # type: ignore[union-attr]
            target, NAMES, output="labels"
        ).about
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("above 200000", lt.Above(200_000)),
        ("price above 200,000", lt.Above(200_000, of="price")),
        ("Below -.2", lt.Below(-0.2)),
        ("below 20 %", lt.Below(0.2)),
        ("between 100 and 120", lt.Between(100, 120)),
        ("price between 10% and 2.5e1%", lt.Between(0.1, 0.25, of="price")),
        ("20 % less", lt.Less(percent=20)),
        ("10% more", lt.More(percent=10)),
        ("price 3 more", lt.More(by=3, of="price")),
        ("less by 3", lt.Less(by=3)),
        ("index:0 above 1", lt.Above(1, of="price")),
        ("0 above 1", lt.Above(1, of=0)),
        ("7 above 1", lt.Above(1, of="7")),
        ("line:above 5", lt.Above(5)),
        ("name:above 5", "above 5"),
        ("not smiling", "not smiling"),  # a class of that name, below
        ("not square metres", lt.Label("square metres", on=False)),
        ("no longer price", lt.Label("price", on=False)),
        ("label price", lt.Label("price")),
        ("price", "price"),
        ("0", 0),
        (None, None),
    ],
)
def test_each_form(text: str | None, target: object) -> None:
    assert read_target(text, (*NAMES, "not smiling")) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("price over 5", "such as 'above 200000'"),
        ("prize above 5", "got 'prize above 5'. It knows 'price'"),
        ("price > 5", "such as 'above 200000'"),
        ("above 0,2", "such as 'above 200000'"),  # 0.2, or 2?
        ("above nan", "such as 'above 200000'"),
        ("above", "such as 'above 200000'"),
        ("line:price", "such as 'above 200000'"),
        ("not old", "such as 'above 200000'"),
        ("between 5 and 3", "the number of `--target` must be a number above 5"),
        ("0 % less", "the number of `--target` must be a number above 0"),
        ("above 1e999", "the number of `--target` must be a number"),
        ("not less above 5", "must be meant beyond doubt"),
    ],
)
def test_bad_sentences(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_target(text, ("price", "not less", "less above 5"))
    assert said in str(caught.value)


def test_a_number_lies_between_no_percentages() -> None:
    with pytest.raises(InputError, match="Leave the % out"):
        read_target("above 20 %", ("price",), output="numbers")


def test_without_names_a_sentence_is_a_line_and_a_word_a_class() -> None:
    assert read_target("not rent above 5", ()) == lt.Above(5, of="not rent")
    assert read_target("not rent", ()) == lt.Label("rent", on=False)
    assert read_target("rent", ()) == "rent"


@pytest.mark.parametrize("text", ["not not safe", "no longer not safe", "label not safe"])
def test_twice_not_is_no_label_unless_one_is_called_so(text: str) -> None:
    with pytest.raises(InputError, match="must be a class of the model, or such as"):
        read_target(text, ())
    with pytest.raises(InputError, match="must be a class of the model, or such as"):
        read_target(text, ("safe", "old"))
    assert read_target(text, ("safe", "not safe")) == lt.Label("not safe", on=text[:5] == "label")


def test_a_class_of_that_name_wins_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert read_target("above 5", NAMES) == "above 5"
    assert "'line:above 5'" in capsys.readouterr().err
    assert [read_target(text, NAMES) for text in ("price", "name:above 5")] == ["price", "above 5"]  # beyond doubt
    assert capsys.readouterr().err == ""


def test_what_must_be_asked_for_it() -> None:
    assert [output_for([text], NAMES) for text in ("above 5", "price", "price above 5", "price 5 % less")] == [
        "auto", "auto", "numbers", "numbers",
    ]  # fmt: skip
    assert output_for(["label price"], NAMES) == "labels"
    assert output_for(["price above 5 %"], NAMES) == "auto"  # of a probability
    assert output_for([], NAMES) == "auto"
    with pytest.raises(InputError, match="classes alone, labels alone or lines alone"):
        output_for(["price", "price above 5"], NAMES)


def test_exemplars_of_several_lines() -> None:
    found = _targets(["price above 5", "above 5"], ("price",), output="numbers")
    assert found == [lt.Above(5, of="price"), lt.Above(5)]


class Grey:
    """Pictures of two halves, each of one brightness."""

    kind, prior, differentiable, shape = "image", StandardNormal(2), True, (1, 8, 8)

    def __call__(self, latents: Tensor) -> Tensor:
        return latents.sigmoid().reshape(-1, 1, 2, 1).repeat_interleave(4, 2).expand(-1, -1, -1, 8)


def _model(path: Path, rows: list[list[float]], then: str | None) -> None:
    """Write a model of the brightness of the two halves: (2, n) rows, and what is done with them at last."""
    weight = np.repeat(np.array(rows, dtype=np.float32) / 32, 32, axis=0)
    last = [helper.make_node(then, ["m"], ["y"])] if then else []
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["m" if then else "y"])]
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])]
    answers = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(rows[0])])]
    graph = helper.make_graph([*nodes, *last], "g", values, answers, [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


@pytest.fixture
def at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models in files, their names, an image whose upper half is dark, and a generator."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("likethat.generators.load_generator", lambda _name, **_: Grey())
    _model(tmp_path / "price.onnx", [[100_000.0], [300_000.0]], None)
    _model(tmp_path / "labels.onnx", [[8.0, -8.0], [-4.0, 4.0]], "Sigmoid")
    _model(tmp_path / "class.onnx", [[8.0, 0.0], [0.0, 8.0]], "Softmax")
    for name, words in (("price", "price"), ("labels", "lit\ndeep"), ("class", "up\ndown")):
        (tmp_path / f"{name}.txt").write_text(words, encoding="utf-8")
    pixels = np.full((8, 8), 200, dtype=np.uint8)
    pixels[:4] = 60  # .235 above, .784 below: a price of 258,824
    Image.fromarray(pixels).save(tmp_path / "x.png")
    return tmp_path


def _asked(model: str) -> list[Any]:
    return ["-m", f"{model}.onnx", "--class-names", f"{model}.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "target", "said"),
    [
        ("price", "price below 200,000", "price below 200,000: "),
        ("price", "20 % less", "price less by 20\u202f%: "),
        ("labels", "label lit", "lit: "),
        ("labels", "not deep", "no longer deep: "),
        ("class", "up", "up: "),
        ("class", "up above 60 %", "up above 60\u202f%: "),
    ],
)
def test_counterfactuals_of_three_models(at_hand: Path, model: str, target: str, said: str) -> None:
    words = ["-g", "grey", "-i", "x.png", "--budget", 60, "--confidence", 0.6, "-o", "page.html"]
    result = likethat("counterfactual", *_asked(model), *words, "-t", target)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(said + "reached"), result.stdout
    assert said.removesuffix(": ") in (at_hand / "page.html").read_text("utf-8")


@pytest.mark.slow
def test_the_other_commands_take_a_line_too(at_hand: Path) -> None:
    page = ["--budget", 40, "-o", "page.html", "--overwrite"]
    mapped = likethat("attribute", *_asked("price"), "-i", "x.png", *page, "-t", "above 300000")
    assert mapped.exit_code == 0, mapped.stderr
    assert mapped.stdout.startswith("What raises “price”")
    made = likethat("exemplars", *_asked("price"), "-g", "grey", *page, "-t", "above 250000", "-n", 2)
    assert made.exit_code == 0, made.stderr
    assert "price above 250,000: 2 of 2 reached" in made.stdout
    why = likethat("explain", "price.onnx", "x.png", "-g", "grey", *page, "-t", "below 200000")
    assert why.exit_code == 0, why.stderr
    assert "below 200,000" in (at_hand / "page.html").read_text("utf-8")


@pytest.mark.parametrize("command", ["counterfactual", "attribute", "exemplars"])
def test_a_bad_sentence_is_one_error(command: str, at_hand: Path) -> None:
    given = ["-g", "grey", *([] if command == "exemplars" else ["-i", "x.png"])]
    result = likethat(command, *_asked("price"), *given, "-t", "price over 5")
    assert result.exit_code == 2
    assert "'20 % less'" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(at_hand.glob("*.html"))


@pytest.mark.slow
def test_a_network_that_is_read_is_asked_for_its_probability(tmp_path: Path) -> None:
    words = ["-m", "zoo:digits", "-i", "zoo:digits:7", "--budget", 40, "-o", tmp_path / "page.html"]
    result = likethat("attribute", *words, "-t", "7 below 0.2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("What raises “7”")


def test_names_in_a_sentence_are_found_as_those_of_classes() -> None:
    names = ("smiling, happy", "young-looking")
    assert read_target("not Smiling", names) == lt.Label("Smiling", on=False)
    assert read_target("HAPPY above 3", names) == lt.Above(3, of="HAPPY")
    assert measure_of(lt.Above(3, of="Young looking"), names, output="numbers", source=torch.zeros(2)) is not None
    with pytest.raises(InputError, match="must be a class of the model"):
        read_target("not a smile", names)
