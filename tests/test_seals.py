"""A seal is known again, says nothing of what was changed, and leaves a file of its kind."""

import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from likethat._seals import is_sealed, sealed


def drawn(kind: str) -> bytes:
    figure, buffer = Figure(figsize=(2, 2)), io.BytesIO()
    figure.subplots().plot([1, 3, 2])
    with mpl.rc_context({"svg.hashsalt": "0"}):
        figure.savefig(buffer, format=kind)
    return buffer.getvalue()


MADE = {
    ".html": b"<!doctype html><title>owl</title>",
    ".HTM": b"<!doctype html><title>owl</title>",
    ".json": json.dumps({"name": "owl", "rows": []}, indent=1).encode(),
    ".png": drawn("png"),
    ".svg": drawn("svg"),
    ".pdf": drawn("pdf"),
}


@pytest.mark.parametrize("suffix", MADE)
def test_a_seal_is_known_again_and_any_change_breaks_it(tmp_path: Path, suffix: str) -> None:
    path, data = tmp_path / f"x{suffix}", sealed(MADE[suffix], suffix)
    path.write_bytes(data)
    assert is_sealed(path, suffix)
    rng = np.random.default_rng(0)
    changed = [data[:-1], data + b"\n", MADE[suffix], data[::-1]]
    for place in (0, len(data) - 1, *rng.integers(len(data), size=40)):  # 80 near the end, where the seal is
        changed += [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]]
        changed += [data[: -1 - place % 80] + b"x" + data[-1 - place % 80 :]]
    for other in changed:
        path.write_bytes(other)
        assert not is_sealed(path, suffix)


def test_the_seal_of_another_kind_or_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    path.write_bytes(sealed(MADE[".json"], ".json"))
    assert not is_sealed(path, ".html")
    path.write_bytes(b"other" + sealed(MADE[".html"], ".html")[len(MADE[".html"]) :])
    assert not is_sealed(path, ".html")
    assert not is_sealed(tmp_path / "missing.html", ".html")
    assert not is_sealed(tmp_path, ".html")


def test_kinds_without_a_place_for_a_seal_stay_as_they_are(tmp_path: Path) -> None:
    assert sealed(b"a,b\n1,2\n", ".csv") == b"a,b\n1,2\n"
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,2\n")
    assert not is_sealed(tmp_path / "x.csv", ".csv")


def test_what_is_sealed_is_a_file_of_its_kind() -> None:
    assert json.loads(sealed(MADE[".json"], ".json")) | {"likethat": ""} == {"name": "owl", "rows": [], "likethat": ""}
    picture = Image.open(io.BytesIO(sealed(MADE[".png"], ".png")))
    picture.verify()  # the checksum of each chunk
    again = Image.open(io.BytesIO(sealed(MADE[".png"], ".png")))
    assert np.array_equal(np.asarray(again), np.asarray(Image.open(io.BytesIO(MADE[".png"]))))
    assert len(again.text["likethat"]) == 64  # type: ignore[attr-defined]
    assert ET.fromstring(sealed(MADE[".svg"], ".svg")).tag.endswith("svg")
    assert sealed(MADE[".pdf"], ".pdf")[: len(MADE[".pdf"])] == MADE[".pdf"]
    assert b"%%EOF" in sealed(MADE[".pdf"], ".pdf")[-100:]  # readers look for it at the end
