"""Where an ONNX model says its weights are, read without the library that writes it."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from likethat.errors import ModelError
from likethat.models.black_box.onnx_weights import external_files


def elsewhere(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def everywhere(names: list[str]) -> onnx.ModelProto:
    """A model with a weight in each place that may hold one."""
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    one, several, sparse, function, training = names[1:6]
    nodes = [helper.make_node("A", [], ["y"], value=elsewhere(one)), helper.make_node("B", [], ["z"], domain="f")]
    nodes[1].attribute.append(helper.make_attribute("w", [elsewhere(several)]))
    pair = helper.make_sparse_tensor(elsewhere(sparse), helper.make_tensor("i", TensorProto.INT64, [1], [0]), [3])
    graph = helper.make_graph(nodes, "g", ends, ends, initializer=[elsewhere(names[0])], sparse_initializer=[pair])
    own = helper.make_function("f", "B", [], ["z"], [helper.make_node("C", [], ["z"], value=elsewhere(function))], [])
    model = helper.make_model(graph, functions=[own])
    model.training_info.add().algorithm.CopyFrom(helper.make_graph([], "t", [], [], initializer=[elsewhere(training)]))
    return model


def test_each_place_is_read(tmp_path: Path) -> None:
    names = [f"w{number}.bin" for number in range(6)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "m.onnx").write_bytes(everywhere(names).SerializeToString())
    assert [path.name for path in external_files(tmp_path / "m.onnx")] == names
    (tmp_path / "w3.bin").unlink()
    with pytest.raises(ModelError, match=r"needs 'w3\.bin' beside it, which is no file there"):
        external_files(tmp_path / "m.onnx")


def test_a_model_without_any(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2], [0.5, 1.5])
    strings = helper.make_tensor("location", TensorProto.STRING, [1], [b"../no place"])
    graph = helper.make_graph([], "location", [], [], initializer=[weights, strings], doc_string="location: /etc")
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert external_files(tmp_path / "m.onnx") == []


def test_bytes_that_are_no_model_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(300):
        (tmp_path / "m.onnx").write_bytes(rng.bytes(number * 3))
        external_files(tmp_path / "m.onnx")
    (tmp_path / "m.onnx").write_bytes(b"\x3a\x7f" * 50_000)  # messages in messages without end
    external_files(tmp_path / "m.onnx")


@pytest.mark.parametrize("location", ["../w", "/w", "a/../../w", "..\\w", "\\\\host\\w", "C:w", ""])
def test_other_folders_are_refused(tmp_path: Path, location: str) -> None:
    graph = helper.make_graph([], "g", [], [], initializer=[elsewhere(location)])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelError, match=r"keeps its weights in its own folder, and 'm\.onnx' names"):
        external_files(tmp_path / "m.onnx")
