"""Places where something of the user's stands: each is built in an empty folder, and named as a writer's target."""

import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from likethat._files import OwnFolder, new_folder, write_whole

__all__ = ["PLACES", "Built", "Place", "changed", "snapshot"]

WORK = b"years of work"
SPARSE = 2**28  # bytes of a large file: read whole, it would be noticed


@dataclass(frozen=True, kw_only=True)
class Built:
    """A place as it stands.

    Attributes:
        target: what a writer is told.
        ours: files and folders that likethat wrote or that hold nothing, which may go or change.
    """

    target: Path
    ours: frozenset[Path] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A kind of place.

    Attributes:
        name: for the table.
        build: in an empty folder, for a target whose name ends so.
    """

    name: str
    build: Callable[[Path, str], Built]


def snapshot(root: Path) -> dict[Path, tuple[object, ...]]:
    """Return what lies below a folder: kind, rights, and of a file content, time and number."""
    found: dict[Path, tuple[object, ...]] = {}
    for above, folders, files in os.walk(root):
        for path in (Path(above, name) for name in (*folders, *files)):
            about = path.lstat()
            said: tuple[object, ...] = (stat.filemode(about.st_mode), about.st_rdev)
            if stat.S_ISLNK(about.st_mode):
                said += (str(path.readlink()),)
            elif stat.S_ISREG(about.st_mode):
                said += (about.st_mtime_ns, about.st_ino, about.st_size, _digest(path, about.st_size))
            found[path] = said
    return found


def _digest(path: Path, size: int) -> str:
    return "" if size >= SPARSE else hashlib.sha256(path.read_bytes()).hexdigest()


def changed(before: dict[Path, tuple[object, ...]], after: dict[Path, tuple[object, ...]], built: Built) -> list[str]:
    """Return the user's files, folders and links that have gone or are others now."""
    mine = {path: said for path, said in before.items() if path not in built.ours}
    return [
        f"{path.name} {'is gone' if path not in after else 'changed'}" for path in mine if after.get(path) != mine[path]
    ]


def _file(path: Path, data: bytes = WORK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _holding(*names: str, mode: int | None = None, data: bytes = WORK) -> Callable[[Path, str], Built]:
    """A folder of the user's that holds files, or, where a name ends in a slash, folders."""

    def build(root: Path, end: str) -> Built:
        target = root / f"mine{end}"
        target.mkdir()
        for name in names:
            (target / name).mkdir(parents=True) if name.endswith("/") else _file(target / name, data)
        if mode is not None:
            target.chmod(mode)
        return Built(target=target)

    return build


def _ours_and(add: Callable[[Path, Path], None]) -> Callable[[Path, str], Built]:
    """A folder that likethat wrote, and then something of the user's."""

    def build(root: Path, end: str) -> Built:
        target = root / f"mine{end}"
        with new_folder(target) as folder:
            (folder / "manifest.json").write_text("{}")
            (folder / "images").mkdir()
            (folder / "images" / "a.png").write_text("a")
        ours = frozenset(snapshot(root))
        add(target, root)
        return Built(target=target, ours=ours - {path for path in ours if path.is_symlink()})

    return build


def _replaced_by_link(target: Path, root: Path) -> None:
    (target / "manifest.json").unlink()
    (target / "manifest.json").symlink_to(_file(root / "thesis"))


def _checkpoint_and(root: Path, end: str) -> Built:
    left = OwnFolder(root / f"mine{end}")
    left.claim(name="checkpoint", marker="state.safetensors")
    left.write("state.safetensors", b"1")
    ours = frozenset(snapshot(root))
    _file(left.path / "model.safetensors")
    return Built(target=left.path, ours=ours)


def _listed(files: list[str], *, library: str = "likethat") -> bytes:
    return json.dumps({"library": library, "files": files, "made_folder": True}).encode()


def _with_list(data: bytes) -> Callable[[Path, str], Built]:
    def build(root: Path, end: str) -> Built:
        _file(root / "thesis")
        _file(root / f"mine{end}" / "thesis")
        _file(root / f"mine{end}" / ".likethat.json", data)
        return Built(target=root / f"mine{end}")

    return build


def _at(make: Callable[[Path, Path], None], *, is_ours: bool = False) -> Callable[[Path, str], Built]:
    """Something at the target itself, made from its path and the folder round it."""

    def build(root: Path, end: str) -> Built:
        target = root / f"mine{end}"
        make(target, root)
        return Built(target=target, ours=frozenset([target] if is_ours else []))

    return build


def _changed_page(target: Path, _: Path) -> None:
    write_whole(target, b"{}")
    target.write_bytes(target.read_bytes() + b" my note")


def _linked_twice(target: Path, root: Path) -> None:
    os.link(write_whole(root / f"kept{target.suffix}", b"{}"), target)


def _socket(target: Path, _: Path) -> None:
    here = Path.cwd()
    os.chdir(target.parent)  # an address has 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(target.name)
    finally:
        os.chdir(here)


def _sparse(target: Path, _: Path) -> None:
    with target.open("wb") as file:
        file.truncate(SPARSE)


def _links(*ways: str) -> Callable[[Path, str], Built]:
    """A chain of links from the target to a place beside the user's things; "thesis" and "photos/" are such."""

    def build(root: Path, end: str) -> Built:
        _file(root / "thesis")
        _file(root / "photos" / "one.jpg")
        target = root / f"mine{end}"
        for link, aim in zip((target, *(root / f"link-{n}" for n in range(len(ways)))), ways, strict=False):
            link.symlink_to(aim)
        return Built(target=target)

    return build


def _named(name: str) -> Callable[[Path, str], Built]:
    """Nothing at the target, which has an odd name beside the user's things."""

    def build(root: Path, end: str) -> Built:
        _file(root / "thesis")
        _file(root / "photos" / "one.jpg")
        os.mkfifo(root / "pipe")
        (root / "link").symlink_to("thesis")
        return Built(target=Path(os.fsdecode(os.fsencode(root) + b"/" + name.encode("latin1") + end.encode())))

    return build


def _beside(*names: str, mode: int | None = None) -> Callable[[Path, str], Built]:
    """Nothing at the target, and files of the user's beside it, whose names are much like those of likethat's."""

    def build(root: Path, end: str) -> Built:
        for name in names:
            _file(root / name.replace("END", end))
        if mode is not None:
            root.chmod(mode)
        return Built(target=root / f"mine{end}")

    return build


def _device(path: Path, minor: int) -> None:
    """Make a device that only looks like the system's: a writer that were wrong must not replace that one.

    Who may make none may not replace the system's either.
    """
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    except PermissionError:
        path.symlink_to("/dev/null")


def _linked_device(minor: int) -> Callable[[Path, Path], None]:
    def make(target: Path, root: Path) -> None:
        _device(root / "device", minor)
        target.symlink_to("device")

    return make


def _elsewhere(path: str) -> Callable[[Path, str], Built]:
    """A place of the system's that nobody may write, whoever he is."""

    def build(root: Path, _: str) -> Built:
        _file(root / "thesis")
        return Built(target=Path(path))

    return build


def _here(below: str) -> Callable[[Path, str], Built]:
    """The folder that the program works in, or one above it."""

    def build(root: Path, end: str) -> Built:
        _file(root / f"mine{end}" / "work" / "thesis")
        os.chdir(root / f"mine{end}" / below)
        return Built(target=root / f"mine{end}")

    return build


_BUILDS: dict[str, Callable[[Path, str], Built]] = {
    "a folder with a photo": _holding("one.jpg"),
    "a folder with a hidden file": _holding(".DS_Store"),
    "a folder with an empty folder": _holding("later/"),
    "a folder with a deep tree": _holding("a/b/c/d/thesis", "a/b/e"),
    "a web app's manifest.json": _holding("manifest.json", "index.html", data=b"{}"),
    "a foreign generator.json": _holding("generator.json", "weights.safetensors", data=b"{}"),
    "a foreign record.json": _holding("record.json", "tensors.safetensors", data=b"{}"),
    "a foreign checkpoint.json": _holding("checkpoint.json", "shard-000000.safetensors", data=b"{}"),
    "a foreign report.html": _holding("report.html"),
    "a git repository": _holding(".git/HEAD", ".git/config"),
    "a foreign hidden list": _with_list(b"{}"),
    "another library's list": _with_list(_listed(["thesis"], library="other")),
    "a list that is no JSON": _with_list(b"[" * 9999),
    "a list that reaches out": _with_list(_listed(["../thesis"])),
    "a list of an empty name": _with_list(_listed([""])),
    "names with other capitals": _holding("Manifest.json", "IMAGES/A.png"),
    "a folder nobody may read": _holding("one.jpg", mode=0o000),
    "a folder nobody may write": _holding("one.jpg", mode=0o555),
    "ours and a file": _ours_and(lambda target, _: _file(target / "notes.txt") and None),
    "ours and a file below": _ours_and(lambda target, _: _file(target / "images" / "b.png") and None),
    "ours and a hidden file": _ours_and(lambda target, _: _file(target / ".hidden") and None),
    "ours and an editor's file": _ours_and(lambda target, _: _file(target / ".manifest.json.swp") and None),
    "ours and an empty folder": _ours_and(lambda target, _: (target / "later").mkdir()),
    "ours and other capitals": _ours_and(lambda target, _: _file(target / "MANIFEST.json") and None),
    "ours and a link out": _ours_and(lambda target, root: (target / "x").symlink_to(_file(root / "thesis"))),
    "ours and a link to a folder": _ours_and(
        lambda target, root: (target / "x").symlink_to(_file(root / "photos" / "one").parent)
    ),
    "ours, a file a link now": _ours_and(_replaced_by_link),
    "ours and a pipe": _ours_and(lambda target, _: os.mkfifo(target / "pipe")),
    "ours in a foreign folder": _ours_and(lambda _, root: _file(root / "thesis") and None),
    "our checkpoint and a file": _checkpoint_and,
    "a file": _at(lambda target, _: _file(target) and None),
    "a file that nobody may write": _at(lambda target, _: _file(target).chmod(0o444)),
    "a file that nobody may read": _at(lambda target, _: _file(target).chmod(0o000)),
    "a large file": _at(_sparse),
    "an empty file": _at(lambda target, _: target.touch(), is_ours=True),
    "our file, changed": _at(_changed_page),
    "our file, linked from elsewhere": _at(_linked_twice, is_ours=True),
    "another name of a file": _at(lambda target, root: os.link(_file(root / "thesis"), target)),
    "a pipe": _at(lambda target, _: os.mkfifo(target)),
    "a socket": _at(_socket),
    "a link to a file": _links("thesis"),
    "a link to a link to a file": _links("link-0", "thesis"),
    "a link to a folder": _links("photos"),
    "a link to a link to a folder": _links("link-0", "photos"),
    "a link to itself": _at(lambda target, _: target.symlink_to(target.name)),
    "links to each other": _links("link-0", "link-1", "link-0"),
    "a link to nowhere": _links("nowhere/at/all"),
    "a link into a folder": _links("photos/new"),
    "a link to the folder round it": _links("."),
    "a link to a device": _at(_linked_device(3)),  # /dev/null's number
    "a link to a full device": _at(_linked_device(7)),  # /dev/full's
    "below a file": _named("thesis/mine"),
    "below a pipe": _named("pipe/mine"),
    "below a link to a file": _named("link/mine"),
    "through a folder and back": _named("photos/../mine"),
    "a name of 240 signs": _named("n" * 240),
    "a name of 256 signs": _named("n" * 256),
    "a path of 5,000 signs": _named("n/" * 2500 + "mine"),
    "a name that is no text": _named("mine\xff\xfe"),
    "a name of two lines": _named("mine\nyours"),
    "a name with a space at its end": _named("mine "),
    "names like ours beside": _beside(
        ".mineEND.swp", ".mineEND.likethat", ".mineEND.likethat-new-", ".mineEND.likethat-A"
    ),
    "a long random name beside": _beside(".mineEND.likethat-abcdefghi", ".mineEND.likethat-new-abcdefghi/thesis"),
    "the checkpoint's name beside": _beside("mineEND.checkpoint/thesis"),
    "a name in other capitals": _beside("MINEEND", "Mine"),
    "a parent nobody may write": _beside("thesis", mode=0o555),
    "the current folder": _here("."),
    "a folder above the current": _here("work"),
    "a mount point": _elsewhere("/proc"),
    "a system's folder": _elsewhere("/proc/self"),
    "a device": _at(lambda target, _: _device(target, 3)),
}
PLACES = tuple(Place(name=name, build=build) for name, build in _BUILDS.items())
