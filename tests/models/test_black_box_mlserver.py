"""A real inference server: MLServer 1.7 with scikit-learn models, from its own environment."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from mlserver_process import Server, mlserver

import likethat as lt
from likethat.errors import BlackBoxError

pytestmark = pytest.mark.slow

ROWS = [[0.0, 0.0], [1.0, 3.0], [2.0, 1.0]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlserver(tmp_path_factory.mktemp("mlserver")) as running:
        yield running


def test_numbers_as_one_tensor(server: Server) -> None:
    box = lt.BlackBox(f"{server.url}/v2/models/numbers", output_name="predict_proba", batch_size=2)
    assert np.allclose(box(torch.tensor(ROWS, dtype=torch.float64)).numpy(), server.expected["numbers"], atol=1e-12)
    assert (box.queries, box.requests, box.notes) == (4, 4, ())  # 3 rows and the check; metadata, 2 batches, the check
    table = lt.BlackBox(f"{server.url}/v2/models/numbers/infer", output_name="predict_proba")
    assert np.allclose(table(pd.DataFrame(ROWS)).numpy(), server.expected["numbers"], atol=1e-12)


def test_a_mixed_table_as_one_tensor_a_column(server: Server) -> None:
    box = lt.BlackBox(f"{server.url}/v2/models/mixed", output_name="predict_proba", class_names=["no", "yes"])
    table = pd.DataFrame(ROWS, columns=["a", "b"]).assign(job=["x", "y", "x"])
    assert np.allclose(box(table).numpy(), server.expected["mixed"], atol=1e-12)


def test_missing_values_as_one_tensor(server: Server) -> None:
    box = lt.BlackBox(f"{server.url}/v2/models/trees", output_name="predict_proba")
    table = pd.DataFrame({"a": [np.nan, 1.0, 2.0], "b": [1.0, 1.0, 1.0]})
    assert np.allclose(box(table).numpy(), server.expected["trees"], atol=1e-12)


def test_texts(server: Server) -> None:
    box = lt.BlackBox(f"{server.url}/v2/models/texts", output_name="predict_proba")
    assert np.allclose(box(["good day", "bad night"]).numpy(), server.expected["texts"][:2], atol=1e-12)


def test_labels_and_wrong_shapes_are_told(server: Server) -> None:
    with pytest.raises(BlackBoxError, match=r"class labels alone \('predict'\)\. .* such as 'predict_proba'"):
        lt.BlackBox(f"{server.url}/v2/models/numbers")(torch.tensor(ROWS))
    with pytest.raises(BlackBoxError, match="status 404"):
        lt.BlackBox(f"{server.url}/v2/models/gone")(torch.tensor(ROWS))
    box = lt.BlackBox(f"{server.url}/v2/models/numbers", output_name="predict_proba", retries=0)
    with pytest.raises(BlackBoxError, match=r"status (400|500) \(.*3 features"):
        box(torch.rand(1, 3))
    assert box.queries == 0
