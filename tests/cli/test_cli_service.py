"""A model on a server, asked from the command line: what is sent, and that no page, answer or file keeps it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import likethat

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from black_box_servers import Reply, Request, serve

SECRET = "s3cr3t-w0rd"


def bright(request: Request) -> Reply:
    """Two outputs of numbers of a batch of images of one channel, to those who show the key."""
    if request.headers.get("x-api-key") != SECRET:
        return Reply({"error": f"no key, or another than {SECRET}"}, 401)
    if request.method == "GET":
        return Reply({"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1, 32, 32]}]})
    tensor = request.body["inputs"][0]
    n = tensor["shape"][0]
    means = np.array(tensor["data"]).reshape(n, -1).mean(axis=1)
    rows = np.stack([1 - means, means], axis=1).ravel().tolist()
    outputs = [{"name": name, "shape": [n, 2], "datatype": "FP32", "data": rows} for name in ("first", "second")]
    return Reply({"outputs": [x for x in outputs if x["name"] in str(request.body.get("outputs", "first second"))]})


@pytest.mark.slow
def test_headers_and_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKETHAT_TEST_KEY", SECRET)
    (tmp_path / "key").write_text(f"X-Api-Key: {SECRET}\n")
    page, cache = tmp_path / "where.html", tmp_path / "answers.sqlite"

    def asked(url: str, *more: Any) -> Any:
        words = ["-i", "zoo:digits:7", "--budget", 32, "--cache", cache, "-o", page, "--overwrite"]
        return likethat("--json", "attribute", "-m", f"{url}/v2/models/m", *words, *more)

    with serve(bright) as service:
        headers = (f"X-Api-Key: {SECRET}", "X-Api-Key: ${LIKETHAT_TEST_KEY}", f"@{tmp_path / 'key'}")
        told = [asked(service.url, "--header", header, "--output-name", "second") for header in headers]
        unclear = asked(service.url, "--header", headers[0], "--timeout", 20)
    assert [result.exit_code for result in (*told, unclear)] == [0, 0, 0, 2], [result.stderr for result in told]
    assert "holds the probabilities: 'first', 'second'" in " ".join(unclear.stderr.split())
    written = [page.read_bytes(), cache.read_bytes(), *(result.output.encode() for result in told)]
    assert all(SECRET.encode() not in text for text in written)
