"""Tars and Parquet files as others write them, and damaged."""

import io
import json
import pickle
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from toys import pictures, small_cnn

import likethat as lt
from likethat.errors import InputError, UnreadableImageError
from likethat.sources import Batch, as_source, read
from likethat.sources.base import Skipped
from likethat.sources.shards import shards
from likethat.sources.shards.places import expand


def _png(value: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (value, 0, 255)).save(buffer, "png")
    return buffer.getvalue()


def _tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def _parquet(path: Path, columns: dict[str, Any], *, names: Sequence[str] = (), group: int = 2) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table(columns)
    if names:
        features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(names)}}
        note = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": note})
    parquet.write_table(table, path, row_group_size=group)
    return path


def _batches(source: Any, **options: Any) -> tuple[list[Batch], list[Skipped]]:
    skipped: list[Skipped] = []
    return list(read(source, skipped=skipped, batch_size=2, **options)), skipped


def _values(batches: Sequence[Batch]) -> list[int]:
    """The red of each image's first pixel: what `_png` was told."""
    return [round(255 * float(image[0, 0, 0])) for batch in batches for image in batch.images]


def test_samples_of_two_tars_with_their_labels(tmp_path: Path) -> None:
    _tar(tmp_path / "s-00.tar", [("a.png", _png(1)), ("a.cls", b"3"), ("b.png", _png(2)), ("b.cls", b" wren\n")])
    about = json.dumps({"label": 5, "label_name": "auk"}).encode()
    _tar(tmp_path / "s-01.tar", [("c.json", about), ("c.jpg.txt", b"words"), ("c.png", _png(3)), ("d.png", _png(4))])
    source = as_source(str(tmp_path / "s-{00..01}.tar"))
    batches, skipped = _batches(source)
    assert _values(batches) == [1, 2, 3, 4]
    assert [name for batch in batches for name in batch.names] == [
        "s-00.tar/a.png",
        "s-00.tar/b.png",
        "s-01.tar/c.png",
        "s-01.tar/d.png",
    ]
    assert [label for batch in batches for label in batch.labels] == [3, None, 5, None]
    assert [name for batch in batches for name in batch.label_names] == [None, "wren", "auk", None]
    assert skipped == []
    assert list(source.spans.values()) == [range(2), range(2, 4)]


def test_threads_and_another_process_read_the_same(tmp_path: Path) -> None:
    for shard in range(3):
        _tar(tmp_path / f"s{shard}.tar", [(f"{i}.png", _png(10 * shard + i)) for i in range(5)])
    source = lt.Shards(tmp_path / "s*.tar")
    again = pickle.loads(pickle.dumps(source))
    expected = [10 * shard + i for shard in range(3) for i in range(5)]
    assert _values(_batches(source, workers=3)[0]) == _values(_batches(again)[0]) == expected


def test_masks_are_not_the_image_and_an_ending_can_be_said(tmp_path: Path) -> None:
    path = _tar(tmp_path / "s.tar", [("a.seg.png", _png(9)), ("a.png", _png(1)), ("a.kind.txt", b"4")])
    assert _values(_batches(lt.Shards(path))[0]) == [1]
    said = lt.Shards(path, image="seg.png", label="kind.txt", class_names=list("abcde"))
    batches, _ = _batches(said)
    assert (_values(batches), batches[0].label_names) == ([9], ("e",))


@pytest.mark.parametrize("name", ["../../escaped.png", "/tmp/escaped.png", "a/../../b.png"])
def test_a_path_that_leads_out_is_a_name_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    source = lt.Shards(_tar(inner / "s.tar", [(name, _png(7))]))
    assert _values(_batches(source)[0]) == [7]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "s.tar"]


def test_foreign_members_are_named_once_a_kind_and_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    members = [("a.png", _png(1)), ("a.pyd", b"cos\nsystem\n"), ("b.pth", b"x"), ("readme.txt", b"words")]
    _tar(path, [*members, ("e.png", _png(2)), ("e.json", b"{"), ("e.pickle", b"x")])
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("f.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    batches, skipped = _batches(lt.Shards(path))
    assert _values(batches) == [1, 2]
    assert {one.name for one in skipped} == {"s.tar"}
    reasons = " | ".join(one.reason for one in skipped)
    assert "pickled, and never opened: 3, first a.pyd" in reasons
    assert "not followed: 1, first f.png" in reasons
    assert "labels that cannot be read: 1, first e.json" in reasons
    assert "no picture that is read here: 1, first readme.txt" in reasons


def _three(path: Path) -> bytes:
    return _tar(path, [(f"{i}.png", _png(i)) for i in (1, 2, 3)]).read_bytes()


def test_damage_in_a_tar_leaves_what_lies_before_it(tmp_path: Path) -> None:
    data = bytearray(_three(tmp_path / "s.tar"))
    data[2048:2100] = b"\xff" * 52  # the third header: each sample has one block of header, one of data
    (tmp_path / "s.tar").write_bytes(data)
    batches, skipped = _batches(lt.Shards(tmp_path / "s.tar"))
    assert _values(batches) == [1, 2]
    assert [one.reason for one in skipped] == ["is damaged from byte 2,048 on; what lies behind is left out"]


@pytest.mark.parametrize(("length", "left", "why"), [(2600, [1, 2], "damaged behind"), (2048, [1, 2], "no end mark")])
def test_a_tar_that_was_cut_short(tmp_path: Path, length: int, left: list[int], why: str) -> None:
    data = _three(tmp_path / "s.tar")
    (tmp_path / "s.tar").write_bytes(data[:length])
    batches, skipped = _batches(lt.Shards(tmp_path / "s.tar"))
    assert _values(batches) == left
    assert len(skipped) == 1
    assert why in skipped[0].reason


def test_a_picture_that_does_not_decode_is_skipped_by_name(tmp_path: Path) -> None:
    path = _tar(tmp_path / "s.tar", [("a.png", b"no picture"), ("b.png", _png(2)), ("c.png", b"")])
    batches, skipped = _batches(lt.Shards(path))
    assert _values(batches) == [2]
    assert [one.name for one in skipped] == ["s.tar/a.png", "s.tar/c.png"]


def test_unreadable_shards_are_listed_unless_nothing_is_left(tmp_path: Path) -> None:
    _tar(tmp_path / "good.tar", [("a.png", _png(1))])
    _tar(tmp_path / "none.tar", [("a.txt", b"words")])
    (tmp_path / "empty.tar").write_bytes(b"")
    (tmp_path / "text.tar").write_text("hello " * 200)
    (tmp_path / "packed.tar").write_bytes(b"\x1f\x8b" + b"x" * 600)
    (tmp_path / "bad.parquet").write_text("hello")
    names = ["missing.tar", "none.tar", "empty.tar", "text.tar", "packed.tar", "bad.parquet"]
    source = lt.Shards([tmp_path / name for name in ("good.tar", *names)])
    assert [one.name for one in source.left_out] == names
    words = ("does not exist", "no image", "empty", "no tar", "uncompress", "no Parquet")
    for one, word in zip(source.left_out, words, strict=True):
        assert word in one.reason
    assert len(source) == 1
    with pytest.raises(InputError, match=r"got 6 that cannot be used. First: missing.tar does not exist"):
        lt.Shards([tmp_path / name for name in names])


def test_a_shard_that_changes_under_way_is_noticed(tmp_path: Path) -> None:
    path = _tar(tmp_path / "s.tar", [("a.png", _png(1)), ("b.png", _png(2))])
    source = lt.Shards(path)
    before = source.signature
    _tar(path, [("a.png", _png(1)), ("b.png", _png(3)), ("c.png", _png(4))])
    with pytest.raises(InputError, match=r"s\.tar, which was changed meanwhile"):
        source[1]
    assert {key for key, value in lt.Shards(path).signature.items() if value != before[key]} == {
        "number",
        "names",
        "sizes and times",
        "classes",
    }


def test_parquet_as_hugging_face_writes_it(tmp_path: Path) -> None:
    rows = [{"bytes": _png(i), "path": f"{i}.png"} for i in range(5)]
    rows[3] = {"bytes": None, "path": "/etc/passwd"}  # a path of somebody else's machine, or of ours
    path = _parquet(tmp_path / "a.parquet", {"label": [0, 1, 0, 1, -1], "image": rows}, names=("auk", "wren"))
    source = as_source(path)
    batches, skipped = _batches(source)
    assert _values(batches) == [0, 1, 2, 4]
    assert source.class_names == ("auk", "wren")
    assert [label for batch in batches for label in batch.labels] == [0, 1, 0, None]
    assert [name for batch in batches for name in batch.names][1] == "a.parquet/1:1.png"
    assert [(one.name, "no bytes" in one.reason) for one in skipped] == [("a.parquet/3:/etc/passwd", True)]
    assert torch.equal(source[4].image, source[4].image)


def test_parquet_of_plain_bytes_and_a_damaged_group(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    pictures = []
    for _ in range(4):
        buffer = io.BytesIO()
        Image.fromarray(noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(buffer, "png")
        pictures.append(buffer.getvalue())
    path = _parquet(tmp_path / "a.parquet", {"photo": pictures, "class": list("abab")})
    assert lt.Shards(path)[1].label_name == "b"
    data = bytearray(path.read_bytes())
    place = bytes(data).index(pictures[2][40:60])
    data[4:300] = b"\xff" * 296  # the first row group
    path.write_bytes(data)
    assert place > 300
    batches, skipped = _batches(lt.Shards(path))
    assert [index for batch in batches for index in batch.indices] == [2, 3]
    assert len(skipped) == 2
    assert all("row group does not read" in one.reason or "decode" in one.reason for one in skipped)


def test_parquet_without_images_says_its_columns(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "a.parquet", {"label": [1, 2], "text": ["a", "b"]})
    with pytest.raises(InputError, match=r"no column of images .* only \['label', 'text'\]"):
        lt.Shards(path)


def test_shards_that_name_other_classes_are_refused(tmp_path: Path) -> None:
    row = {"label": [0], "image": [{"bytes": _png(), "path": ""}]}
    for name, classes in (("a", ("auk",)), ("b", ("wren",))):
        _parquet(tmp_path / f"{name}.parquet", row, names=classes)
    with pytest.raises(InputError, match="same classes"):
        lt.Shards(tmp_path / "{a,b}.parquet")


@pytest.fixture(params=[False, True], ids=["with ranges", "without"])
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Counter[str]]]:
    """Give the address at which this machine serves a folder, and the bytes of each file that it sent."""
    pytest.importorskip("aiohttp", reason="https:// needs fsspec and aiohttp")
    sent: Counter[str] = Counter()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            file = tmp_path / self.path.lstrip("/")
            if not file.exists():
                self.send_error(404)
                return
            data, asked = file.read_bytes(), self.headers.get("Range")
            if asked and not request.param:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
                data = data[int(first) : int(last) + 1]
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)
                sent[self.path] += len(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


def test_shards_at_a_web_address_are_fetched_once(served: tuple[str, Counter[str]], tmp_path: Path) -> None:
    address, sent = served
    for shard in range(2):
        _tar(tmp_path / f"s{shard}.tar", [(f"{i}.png", _png(10 * shard + i)) for i in range(5)])
    source = lt.Shards(f"{address}/s{{0..2}}.tar")
    assert [(one.name, one.reason) for one in source.left_out] == [("s2.tar", "does not exist")]
    assert _values(_batches(source, workers=2)[0]) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    assert _values(_batches(source)[0]) == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]
    size = (tmp_path / "s0.tar").stat().st_size
    assert sent == {"/s0.tar": size, "/s1.tar": size}
    again = pickle.loads(pickle.dumps(source))  # another process fetches its own
    assert _values(_batches(again)[0])[:2] == [0, 1]


def _in_store(kind: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a shard into memory, which stands for a store such as S3."""
    fsspec = pytest.importorskip("fsspec")
    memory = pytest.importorskip("fsspec.implementations.memory").MemoryFileSystem
    own = {
        "protocol": kind,
        "store": {},
        "pseudo_dirs": [""],
        "_strip_protocol": classmethod(lambda _, path: "/" + path.removeprefix(f"{kind}://").lstrip("/")),
    }
    bucket = type("Bucket", (memory,), own)
    monkeypatch.setitem(pytest.importorskip("fsspec.registry")._registry, kind, bucket)
    store = fsspec.filesystem(kind, skip_instance_cache=True)
    store.pipe("/birds/s0.tar", data)
    return store


@pytest.mark.parametrize("room", [0, 10**6])
def test_addresses_are_read_through_fsspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(shards, "_COPIES", room)
    data = _tar(tmp_path / "s.tar", [("a.png", _png(1)), ("b.png", _png(2))]).read_bytes()
    store = _in_store("s3", data, monkeypatch)
    source = as_source("s3://birds/s{0,1}.tar")
    assert _values(_batches(source)[0]) == [1, 2]
    assert [one.name for one in source.left_out] == ["s1.tar"]
    store.rm("/birds/s0.tar")
    source._close()
    if room:
        assert _values(_batches(source)[0]) == [1, 2]  # of the copy
    else:
        with pytest.raises(UnreadableImageError, match="its shard does not exist"):
            source[0]
    with pytest.raises(InputError, match="fsspec knows"):
        as_source("nowhere://s.tar")


def test_a_parquet_file_far_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _parquet(tmp_path / "a.parquet", {"image": [_png(i) for i in range(5)]})
    _in_store("s3", b"", monkeypatch).pipe("/birds/a.parquet", path.read_bytes())
    assert _values(_batches(lt.Shards("s3://birds/a.parquet"), workers=2)[0]) == [0, 1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The model gives only")
def test_one_image_is_explained_by_parts_of_images_in_shards(tmp_path: Path) -> None:
    _tar(tmp_path / "s0.tar", [(f"{i}.png", _png(25 * i)) for i in range(10)])
    model = lt.split(small_cnn(), example=pictures(4))
    why, by_pattern = (
        lt.explain(model, pictures(1)[0], data=data)
        for data in (lt.Shards(tmp_path / "s0.tar"), str(tmp_path / "s{0..0}.tar"))
    )
    assert isinstance(why, lt.Explanation)
    told, again = why.to_dict(), by_pattern.to_dict()
    assert told.pop("provenance")["n_images"] == again.pop("provenance")["n_images"] == 10  # the rest of it is time
    assert told == again


def test_patterns() -> None:
    assert expand("{a,b}-{8..10}.tar") == ("a-8.tar", "a-9.tar", "a-10.tar", "b-8.tar", "b-9.tar", "b-10.tar")
    with pytest.raises(InputError, match="matches none"):
        expand("nowhere-*.tar")
    with pytest.raises(InputError, match="which is not run"):
        expand("pipe:rm -r x.tar")
    with pytest.raises(InputError, match="at most 100,000"):
        expand("{0..999}{0..999}.tar")
    with pytest.raises(InputError, match="count upwards"):
        expand("{9..0}.tar")


@pytest.mark.slow
def test_a_fit_finds_the_images_of_prototypes_again(tmp_path: Path) -> None:
    images = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(images):
        Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    files = sorted(folder.iterdir())
    _tar(tmp_path / "s0.tar", [(file.name, file.read_bytes()) for file in files[:5]])
    _tar(tmp_path / "s1.tar", [(file.name, file.read_bytes()) for file in files[5:]])
    model = lt.split(small_cnn(), example=pictures(4))
    options: dict[str, Any] = {"memory_budget": 1, "workers": 2}  # one map is held: all others are looked at again
    ours, given = (
        lt.EPIC(n_prototypes=2).fit(model, source, **options) for source in (tmp_path / "s{0,1}.tar", folder)
    )
    assert [(one.index, one.activation, one.cell) for one in ours.prototypes] == [
        (one.index, one.activation, one.cell) for one in given.prototypes
    ]
    assert {one.source.rpartition("/")[2] for one in ours.prototypes} == {one.source for one in given.prototypes}
    assert all(np.array_equal(ours.images[key], given.images[key]) for key in given.images)
    assert ours.provenance.n_images == 9
