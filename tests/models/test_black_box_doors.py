"""Each kind of predictor is asked as its own library asks it."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from onnx import TensorProto, helper
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

import likethat as lt
from likethat.errors import BlackBoxError, InputError, ModelError

DIGITS, LABELS = load_digits(return_X_y=True)
WINE = load_wine(as_frame=True)


def test_images_reach_an_estimator_as_rows() -> None:
    model = GaussianNB().fit(DIGITS[:300], LABELS[:300])
    images = torch.tensor(DIGITS[:5] / 16, dtype=torch.float32).reshape(5, 1, 8, 8)
    box = lt.BlackBox(model, inputs=lambda x: x * 16)
    assert np.allclose(box(images).numpy(), model.predict_proba(DIGITS[:5]))
    assert box.class_names == tuple("0123456789")
    assert box.name == "GaussianNB"
    with pytest.raises(InputError, match=r"must have 64 values a row as GaussianNB was fitted on, got 9 \(shape"):
        box(torch.rand(1, 1, 3, 3))


def test_tables_reach_an_estimator_with_its_columns() -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(WINE.data, WINE.target)
    box = lt.BlackBox(model, class_names=WINE.target_names)
    expected = model.predict_proba(WINE.data[:4])
    shuffled = WINE.data[:4].assign(target=WINE.target[:4])[["target", *reversed(WINE.data.columns)]]
    assert np.allclose(box(shuffled).numpy(), expected)
    assert np.allclose(box(torch.tensor(WINE.data[:4].to_numpy())).numpy(), expected)  # a tensor gets the names
    assert box.class_names == tuple(WINE.target_names)
    with pytest.raises(InputError, match=r"got none named 'alcohol'"):
        box(WINE.data[:1].drop(columns="alcohol"))
    nameless = GaussianNB().fit(WINE.data.to_numpy(), WINE.target)
    assert lt.BlackBox(nameless)(WINE.data[:4]).shape == (4, 3)  # without a warning about names


def test_a_mixed_pipeline_takes_missing_values_and_texts() -> None:
    table = pd.DataFrame({"age": [20.0, np.nan, 60, 70], "job": ["a", "b", "a", "c"]})
    encode = ColumnTransformer(
        [("n", SimpleImputer(), ["age"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["job"])]
    )
    model = make_pipeline(encode, LogisticRegression()).fit(table, [0, 0, 1, 1])
    found = lt.BlackBox(model)(pd.DataFrame({"age": [np.nan, 30], "job": ["never seen", "a"]}))
    assert found.shape == (2, 2)
    with pytest.raises(BlackBoxError, match=r"Pipeline raised ValueError \(.*\)\. Check that it takes these inputs"):
        lt.BlackBox(model)(pd.DataFrame({"age": ["old"], "job": ["a"]}))


def test_texts() -> None:
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good day", "bad night"] * 3, ["+", "-"] * 3)
    box = lt.BlackBox(model)
    assert box.class_names == ("+", "-")
    assert box(["good", "bad", "good"])[:, 0].round(decimals=3).tolist() == pytest.approx(
        model.predict_proba(["good", "bad", "good"])[:, 0].round(3).tolist()
    )
    assert box.queries == 3


@pytest.mark.parametrize("n_classes", [2, 3])
def test_margins_are_logits_and_that_is_said(n_classes: int) -> None:
    kept = WINE.target < n_classes
    model = make_pipeline(StandardScaler(), SVC()).fit(WINE.data[kept], WINE.target[kept])
    box = lt.BlackBox(model)
    found = box(WINE.data[kept][::20])
    margins = model.decision_function(WINE.data[kept][::20])
    if n_classes == 2:
        assert np.allclose(found[:, 1].numpy(), 1 / (1 + np.exp(-margins)))
    else:
        assert np.allclose(found.numpy(), torch.tensor(margins).softmax(1).numpy())
    assert "Pipeline has no predict_proba: its decision_function was taken, which is not calibrated" in box.notes
    assert "logits were taken: softmax applied" in box.notes


def test_estimators_that_cannot_be_asked() -> None:
    with pytest.raises(ModelError, match="KMeans has neither"):
        lt.BlackBox(KMeans(2, n_init=1).fit([[0.0], [1.0]]))
    with pytest.raises(BlackBoxError, match="raised NotFittedError"):
        lt.BlackBox(GaussianNB())(torch.rand(2, 2))
    pairs = SVC(decision_function_shape="ovo").fit(DIGITS[:200], LABELS[:200])
    with pytest.raises(BlackBoxError, match=r"one a class \(10\), got 45: pairs of classes"):
        lt.BlackBox(pairs)(torch.tensor(DIGITS[:1]))
    words = pd.DataFrame({"x": ["a"]})
    with pytest.raises(InputError, match="numbers alone, as GaussianNB takes one array, got column 'x'"):
        lt.BlackBox(GaussianNB().fit([[0.0], [1.0]], [0, 1]))(words)


def toy_network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def test_a_network_is_left_as_it_was() -> None:
    network = toy_network().train()
    network[3].eval()
    calls: list[Any] = []
    network.register_forward_hook(lambda *args: calls.append(None))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(5, 1, 2, 2)
    box = lt.BlackBox(network)
    found = box(images)
    assert [module.training for module in network] == [True, True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert len(calls) == box.requests == 2
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    with torch.no_grad():
        assert torch.allclose(found, network.eval()(images).double().softmax(1), atol=1e-6)
    assert box.notes == ("logits were taken: softmax applied",)


def test_what_a_network_counts_is_put_back() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return torch.stack([x[:, 0], 1 - x[:, 0]], dim=1)

    network = Counting()
    lt.BlackBox(network)(torch.rand(3, 1))
    assert network.calls.item() == 0


def test_a_network_in_double_takes_tables() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Softmax(dim=1)).double()
    box = lt.BlackBox(network)
    assert box(pd.DataFrame({"x": [0.1, 0.2], "y": [1, 2]})).shape == (2, 2)
    assert box.notes == ()
    with pytest.raises(InputError, match="got texts"):
        box(["a"])


def test_a_network_that_draws_random_numbers_is_told() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": torch.nn.functional.dropout(x.flatten(1).repeat(1, 10), training=True) * 5 - 1}

    box = lt.BlackBox(Noisy())
    box(torch.rand(3, 1, 2, 2))
    assert any("not deterministic" in note for note in box.notes)


def test_a_split_model() -> None:
    layers = [nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)]
    model = lt.split(nn.Sequential(*layers).eval(), class_names=list("abcd"), example=torch.rand(2, 1, 8, 8))
    images = torch.rand(3, 1, 8, 8)
    box = lt.BlackBox(model)
    assert box.class_names == tuple("abcd")
    assert torch.allclose(box(images), model.logits(images).detach().double().softmax(1))
    assert box.notes == ()  # it knows its own probabilities


def save_graph(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], opsets: tuple[str, ...] = ()
) -> Path:
    versions = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in opsets)]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=versions, ir_version=8)
    onnx.save(model, path)
    return path


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def softmax_file(path: Path, batch: Any = "n") -> Path:
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Softmax", ["f"], ["p"], axis=1)]
    return save_graph(path, nodes, [value("x", [batch, 1, 2, 2])], [value("p", [batch, 4])])


def test_an_onnx_file(tmp_path: Path) -> None:
    images = torch.rand(5, 1, 2, 2)
    box = lt.BlackBox(softmax_file(tmp_path / "m.onnx"), class_names=list("abcd"))
    assert torch.allclose(box(images), images.flatten(1).softmax(1).double(), atol=1e-6)
    assert (box.name, box.queries) == ("m", 6)
    assert torch.allclose(box(images.flatten(1).double()), box(images), atol=1e-6)  # rows are folded up
    elsewhere = pickle.loads(pickle.dumps(box))  # a worker opens the file for itself
    assert torch.equal(elsewhere(images), box(images))
    assert torch.allclose(elsewhere(images + 1), box(images), atol=1e-6)
    with pytest.raises(InputError, match=r"must have shape \(n, 1, 2, 2\) as m \('x'\) takes, got \(1, 3, 2, 2\)"):
        box(torch.rand(1, 3, 2, 2))
    with pytest.raises(InputError, match=r"got \(1, 2, 2, 1\)"):
        box(torch.rand(1, 2, 2, 1))  # axes are never swapped in silence
    with pytest.raises(InputError, match="must be numbers"):
        box(["text"])


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_an_onnx_file_with_a_fixed_batch(tmp_path: Path, batch: int) -> None:
    box = lt.BlackBox(str(softmax_file(tmp_path / "m.onnx", batch=batch)), check_determinism=False)
    images = torch.rand(5, 1, 2, 2)
    assert torch.allclose(box(images), images.flatten(1).softmax(1).double(), atol=1e-6)
    assert box.queries == 5


def test_a_network_exported_by_torch(tmp_path: Path) -> None:
    network, path = toy_network().eval(), tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its older exporter; the newer one needs another library
        torch.onnx.export(
            network,
            (torch.rand(2, 1, 2, 2),),
            str(path),
            dynamo=False,
            input_names=["input"],
            dynamic_axes={"input": {0: "n"}},
        )
    images = torch.rand(3, 1, 2, 2)
    box = lt.BlackBox(path)
    assert torch.allclose(box(images), lt.BlackBox(network)(images), atol=1e-5)
    assert box.notes == ("logits were taken: softmax applied",)


def labels_and_zipmap(path: Path) -> Path:
    """What skl2onnx makes of a classifier: a label, and a list of dictionaries."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["x"], ["p"], axis=1),
        helper.make_node("ZipMap", ["p"], ["maps"], domain="ai.onnx.ml", classlabels_strings=["b", "a"]),
    ]
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    maps = helper.make_value_info("maps", helper.make_sequence_type_proto(kind))
    outputs = [value("label", ["n"], TensorProto.INT64), maps]
    return save_graph(path, nodes, [value("x", ["n", 2])], outputs, opsets=("ai.onnx.ml",))


def test_labels_beside_named_probabilities(tmp_path: Path) -> None:
    path = labels_and_zipmap(tmp_path / "m.onnx")
    box = lt.BlackBox(path)
    rows = torch.tensor([[3.0, 1.0], [0.0, 2.0]])
    assert torch.allclose(box(rows), rows.softmax(1)[:, [1, 0]].double(), atol=1e-6)
    assert box.class_names == ("a", "b")
    with pytest.raises(InputError, match=r"`output_name` must be an output of m\.onnx \('label', 'maps'\), got 'x'"):
        lt.BlackBox(path, output_name="x")
    with pytest.raises(BlackBoxError, match="class labels"):
        lt.BlackBox(path, output_name="label")(rows)


def test_one_input_a_column(tmp_path: Path) -> None:
    nodes = [helper.make_node("Concat", ["u", "v"], ["c"], axis=1), helper.make_node("Softmax", ["c"], ["p"], axis=1)]
    path = save_graph(tmp_path / "m.onnx", nodes, [value("u", ["n", 1]), value("v", ["n", 1])], [value("p", ["n", 2])])
    table = pd.DataFrame({"v": [1.0, 2.0], "rest": ["a", "b"], "u": [0, 5]})
    expected = torch.tensor([[0.0, 1], [5, 2]]).softmax(1).double()
    assert torch.allclose(lt.BlackBox(path)(table), expected, atol=1e-6)
    assert torch.allclose(lt.BlackBox(path, columns=["u", "v"])(torch.tensor([[0.0, 1], [5, 2]])), expected, atol=1e-6)
    with pytest.raises(InputError, match=r"table with the columns that m takes \('u', 'v'\)"):
        lt.BlackBox(path)(torch.rand(1, 2))


def test_several_outputs_of_numbers(tmp_path: Path) -> None:
    nodes = [helper.make_node("Softmax", ["x"], ["a"], axis=1), helper.make_node("Identity", ["x"], ["b"])]
    path = save_graph(tmp_path / "m.onnx", nodes, [value("x", ["n", 2])], [value("a", ["n", 2]), value("b", ["n", 2])])
    with pytest.raises(
        InputError, match=r"`output_name` must say which output of m\.onnx holds the probabilities: 'a'"
    ):
        lt.BlackBox(path)
    assert lt.BlackBox(path, output_name="a")(torch.zeros(1, 2)).tolist() == [[0.5, 0.5]]


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must be an \.onnx file, got '.*gone\.onnx', which does not exist"):
        lt.BlackBox(tmp_path / "gone.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"'bad\.onnx' cannot be opened") as caught:
        lt.BlackBox(tmp_path / "bad.onnx")
    assert "\n" not in str(caught.value)
    own = helper.make_node("Mine", ["x"], ["p"], domain="my.own")
    path = save_graph(tmp_path / "own.onnx", [own], [value("x", ["n", 2])], [value("p", ["n", 2])], opsets=("my.own",))
    with pytest.raises(ModelError, match="must be an ONNX model of standard operators"):
        lt.BlackBox(path)
    with pytest.raises(InputError, match=r"`token_env` is no option of an ONNX file\. It takes output_name"):
        lt.BlackBox(softmax_file(tmp_path / "m.onnx"), token_env="X")


def test_an_onnx_file_is_known_by_its_content(tmp_path: Path) -> None:
    cache, images = tmp_path / "answers.sqlite", torch.rand(2, 1, 2, 2)
    lt.BlackBox(softmax_file(tmp_path / "a.onnx"), cache=cache)(images)
    again = lt.BlackBox(softmax_file(tmp_path / "b.onnx"), cache=cache)
    again(images)
    assert again.queries == 0
    other = lt.BlackBox(softmax_file(tmp_path / "c.onnx", batch=1), cache=cache)
    other(images)
    assert other.queries == 3
