"""A real MLServer in an environment of its own, with models that it trained itself."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_PATIENCE = 240  # seconds; its imports take a minute and more on a machine that is busy
_PACKAGES = ("mlserver>=1.7,<1.8", "mlserver-sklearn>=1.7,<1.8", "pandas")

TRAIN = """
import json
import joblib, pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

rows = [[float(i % 7), float(i * 3 % 5)] for i in range(40)]
labels = [int(a > b) for a, b in rows]
table = pd.DataFrame(rows, columns=["a", "b"]).assign(job=["x", "y"] * 20)
texts = ["good day", "bad night"] * 20
columns = ColumnTransformer([("n", StandardScaler(), ["a", "b"]), ("c", OneHotEncoder(), ["job"])])
data = {"numbers": rows, "mixed": table, "texts": texts}
first = {"numbers": StandardScaler(), "mixed": columns, "texts": CountVectorizer()}
found = {}
for name, values in data.items():
    model = make_pipeline(first[name], LogisticRegression()).fit(values, labels)
    joblib.dump(model, f"{name}/model.joblib")
    found[name] = model.predict_proba(values[:3]).tolist()
gaps = [[float("nan") if i % 3 == 0 else float(i), 1.0] for i in range(40)]
trees = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(gaps, labels)
joblib.dump(trees, "trees/model.joblib")
found["trees"] = trees.predict_proba(gaps[:3]).tolist()
print(json.dumps(found))
"""


@dataclass
class Server:
    url: str
    expected: dict[str, list[list[float]]]  # what each model's own predict_proba says of its first three rows
    log: Path


def installed_python() -> Path:
    """Return the Python of the environment with MLServer, made once and kept; skip where that is not possible."""
    given = os.environ.get("LIKETHAT_MLSERVER")
    home = Path(given) if given else Path.home() / ".cache" / "likethat-tests" / "mlserver-1.7"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f".{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "bin" / "mlserver").exists():
            _install(home)
    return home / "bin" / "python"


def _install(home: Path) -> None:
    for command in (
        [sys.executable, "-m", "venv", str(home)],
        [
            str(home / "bin" / "python"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "-q",
            "--no-compile",
            *_PACKAGES,
        ],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            trouble = done.stderr.strip() if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            trouble = str(error)
        if trouble:
            shutil.rmtree(home, ignore_errors=True)
            pytest.skip(f"MLServer 1.7 could not be installed: {trouble.splitlines()[-1][:200]}")


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _write_settings(folder: Path) -> str:
    http, grpc, metrics = _free_ports(3)
    settings = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
                "parallel_workers": 0}  # fmt: skip
    (folder / "settings.json").write_text(json.dumps(settings))
    for name in ("numbers", "mixed", "texts", "trees"):
        (folder / name).mkdir()
        model: dict[str, Any] = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel",
                                 "parameters": {"uri": "./model.joblib"}}  # fmt: skip
        (folder / name / "model-settings.json").write_text(json.dumps(model))
    return f"http://127.0.0.1:{http}"


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=2) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@contextmanager
def mlserver(folder: Path) -> Iterator[Server]:
    """Train three models, serve them, and stop the server in the end."""
    python, url = installed_python(), _write_settings(folder)
    trained = subprocess.run([str(python), "-c", TRAIN], cwd=folder, capture_output=True, text=True, check=True)
    log = folder / "log.txt"
    with log.open("w") as file:
        command = [str(python.parent / "mlserver"), "start", str(folder)]
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + _PATIENCE
        while not _is_ready(url):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < end, f"MLServer did not get ready in {_PATIENCE} s: {log.read_text()[-500:]}"
            time.sleep(0.2)
        yield Server(url, json.loads(trained.stdout), log)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
