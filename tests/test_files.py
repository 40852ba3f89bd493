"""What likethat writes is whole, and what it did not write is never replaced or removed."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from _changes import before_changes

from likethat._files import OwnFolder, new_folder, try_file, try_folder, write_whole
from likethat.errors import InputError, StorageError


def fill(folder: Path, **files: str) -> None:
    with new_folder(folder, overwrite=True) as new:
        for name, text in files.items():
            (new / name).write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".likethat.json")


def test_a_folder_of_ours_is_replaced_whole(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1", b="2")
    fill(tmp_path / "mine", c="3")
    assert names(tmp_path / "mine") == ["c"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("foreign", ["note.txt", "sub/note.txt", ".hidden"])
def test_a_folder_that_holds_something_else_too_is_refused(tmp_path: Path, foreign: str) -> None:
    fill(tmp_path / "mine", a="1")
    (tmp_path / "mine" / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / "mine" / foreign).write_text("the user's")
    with pytest.raises(InputError, match=f"which is in use: '{foreign}'"):
        fill(tmp_path / "mine", c="3")
    assert (tmp_path / "mine" / foreign).read_text() == "the user's"
    assert (tmp_path / "mine" / "a").read_text() == "1"


def test_an_empty_folder_of_the_user_inside_is_his_too(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    (tmp_path / "mine" / "later").mkdir()
    with pytest.raises(InputError, match="'later/'"):
        fill(tmp_path / "mine", c="3")


def test_a_link_in_the_place_of_a_file_of_ours_is_not_ours(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / "mine" / "a").unlink()
    (tmp_path / "mine" / "a").symlink_to(tmp_path / "thesis")
    with pytest.raises(InputError, match="in use: 'a'"):
        fill(tmp_path / "mine", a="2")


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "not json", '{"library": "other", "files": ["a"]}', '{"library": "likethat", "files": 3}', "[" * 9999],
)
def test_a_list_that_is_not_ours_owns_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("the user's")
    (tmp_path / "mine" / ".likethat.json").write_text(text)
    with pytest.raises(InputError, match="in use: 'a'"):
        fill(tmp_path / "mine", b="1")


def test_a_list_cannot_reach_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("years of work")
    (tmp_path / "mine").mkdir()
    listed = {"library": "likethat", "files": ["../thesis"], "made_folder": True}
    (tmp_path / "mine" / ".likethat.json").write_text(json.dumps(listed))
    OwnFolder(tmp_path / "mine").remove()
    assert names(tmp_path) == ["thesis"]


def test_a_link_to_a_folder_is_kept_and_its_aim_written(tmp_path: Path) -> None:
    fill(tmp_path / "first", a="1")
    (tmp_path / "latest").symlink_to("first")
    fill(tmp_path / "latest", b="2")
    assert (tmp_path / "latest").is_symlink()
    assert names(tmp_path / "first") == ["b"]


def test_an_interrupted_block_leaves_the_earlier_folder(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    with contextlib.suppress(KeyboardInterrupt), new_folder(tmp_path / "mine", overwrite=True) as new:
        (new / "b").write_text("2")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["a"]


def test_unfinished_work_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = OwnFolder(tmp_path / "left")
    left.claim(name="checkpoint", marker="state")
    left.write("state", b"1")
    (tmp_path / "left" / "model.safetensors").write_text("the user's")
    left.remove()
    assert names(tmp_path / "left") == ["model.safetensors"]


def test_a_folder_made_for_the_work_goes_with_it_and_one_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "made"):
        OwnFolder(tmp_path / name).claim(name="checkpoint", marker="state")
        again = OwnFolder(tmp_path / name)  # another process goes on
        again.write("state", b"1")
        again.remove()
    assert names(tmp_path) == ["there"]
    assert not any((tmp_path / "there").iterdir())


def test_what_a_killed_writer_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    left = OwnFolder(tmp_path / "left")
    left.claim(name="checkpoint", marker="state")
    left.write("state", b"1")
    (tmp_path / "left" / ".state.likethat-x7f3ab_0").write_text("half")
    OwnFolder(tmp_path / "left").claim(name="checkpoint", marker="state")
    assert not names(tmp_path / "left")


def test_work_begins_over_no_result_of_another_kind(tmp_path: Path) -> None:
    fill(tmp_path / "bank", manifest="1", images="2")
    with pytest.raises(InputError, match=r"holds something else of likethat.s .*Nothing was touched"):
        OwnFolder(tmp_path / "bank").claim(name="checkpoint", marker="state")
    assert names(tmp_path / "bank") == ["images", "manifest"]


def test_a_file_that_an_editor_left_is_the_users(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    (tmp_path / "mine" / ".a.swp").write_text("the user's")
    with pytest.raises(InputError, match=r"'\.a\.swp' in it is not likethat's"):
        fill(tmp_path / "mine", a="2")


def test_what_stood_there_stands_there_again_where_the_new_folder_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "mine", a="1")
    moved, replace = [], Path.replace

    def second_fails(path: Path, target: Path) -> Path:
        if path.parent == tmp_path:  # not those of single files within a folder
            moved.append(path)
            if len(moved) == 2:
                raise OSError("disk failed")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", second_fails)
    with pytest.raises(StorageError):
        fill(tmp_path / "mine", a="2")
    assert (tmp_path / "mine" / "a").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    write_whole(tmp_path / "mine", b"the user's")
    with pytest.raises(InputError, match="`checkpoint` must be a folder"):
        OwnFolder(tmp_path / "mine").claim(name="checkpoint", marker="state")
    with pytest.raises(InputError, match="`path` must be a folder"):
        fill(tmp_path / "mine", a="1")
    assert (tmp_path / "mine").read_bytes() == b"the user's"


_KILLED = """
import os, sys
from collections.abc import Callable
from pathlib import Path
from likethat import _files
if sys.argv[2] == "swap":  # dies when the earlier folder has been moved away
    replace = Path.replace
    def dying(path, target):
        if Path(target) == Path(sys.argv[1]):
            os._exit(9)
        return replace(path, target)
    Path.replace = dying
with _files.new_folder(sys.argv[1], overwrite=True) as new:
    (new / "half").write_text("half")
    if sys.argv[2] == "block":
        os._exit(9)
"""


def killed(folder: Path, when: str) -> Path:
    """Return the hidden folder that a process leaves that dies while it writes a folder."""
    before = set(folder.parent.iterdir())
    assert subprocess.run([sys.executable, "-c", _KILLED, str(folder), when], check=False).returncode == 9
    return next(path for path in set(folder.parent.iterdir()) - before if path.name.startswith("."))


@pytest.mark.parametrize("name", ["mine", "m" * 60], ids=["short", "long"])
def test_the_next_writer_sweeps_what_a_killed_one_left(tmp_path: Path, name: str) -> None:
    killed(tmp_path / name, "block")
    fill(tmp_path / name, a="1")
    assert names(tmp_path) == [name]
    killed(tmp_path / name, "swap")
    assert name not in names(tmp_path)
    fill(tmp_path / name, b="2")
    assert names(tmp_path) == [name]
    assert names(tmp_path / name) == ["b"]


def test_what_a_killed_swap_moved_away_comes_back_where_the_next_writing_fails(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    killed(tmp_path / "mine", "swap")
    with contextlib.suppress(KeyboardInterrupt), new_folder(tmp_path / "mine"):
        raise KeyboardInterrupt
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["a"]


def test_what_is_not_proven_to_be_left_by_a_killed_writer_stays(tmp_path: Path) -> None:
    left = killed(tmp_path / "mine", "block")
    unlisted = tmp_path / ".mine.likethat-new-00000000"
    shutil.copytree(left, unlisted)
    (unlisted / ".likethat.json").unlink()
    copy = tmp_path / ".mine.20240101"
    shutil.copytree(left, copy)
    aim = tmp_path / ".other.likethat-new-00000000"
    shutil.copytree(left, aim)
    link = tmp_path / ".mine.likethat-new-00000001"
    link.symlink_to(aim)
    fill(tmp_path / "mine", a="1")
    assert set(tmp_path.iterdir()) == {tmp_path / "mine", unlisted, copy, aim, link}
    assert (aim / "half").exists()


def test_what_a_living_writer_fills_stays(tmp_path: Path) -> None:
    with new_folder(tmp_path / "mine") as new:
        (new / "first").write_text("1")
        fill(tmp_path / "mine", second="2")
        assert (new / "first").exists()
    assert names(tmp_path / "mine") == ["first"]


def test_a_link_to_a_file_is_kept_and_its_aim_written(tmp_path: Path) -> None:
    write_whole(tmp_path / "first.html", b"1")
    (tmp_path / "latest.html").symlink_to("first.html")
    write_whole(tmp_path / "latest.html", b"2")
    assert (tmp_path / "latest.html").is_symlink()
    assert (tmp_path / "first.html").read_bytes().startswith(b"2<!-- likethat ")


@pytest.mark.parametrize("name", ["notes.csv", "why.html", "why.json", "why.png", "why.svg", "why.pdf", "model.pt"])
def test_a_file_of_the_users_is_replaced_only_where_that_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"years of work")
    with pytest.raises(InputError, match=f"{name}, which has no seal of likethat's or was changed.*overwrite=True"):
        write_whole(tmp_path / name, b"{}")
    with pytest.raises(InputError, match=r"`--out` must be a new file.*or add --overwrite"):
        try_file(tmp_path / name, name="--out")
    assert (tmp_path / name).read_bytes() == b"years of work"
    try_file(tmp_path / name, overwrite=True)
    assert (tmp_path / name).read_bytes() == b"years of work"
    write_whole(tmp_path / name, b"{}", overwrite=True)
    assert (tmp_path / name).read_bytes() != b"years of work"


def test_a_file_that_holds_nothing_or_the_same_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "table.csv").touch()  # as tempfile.NamedTemporaryFile and mktemp leave it
    write_whole(tmp_path / "table.csv", b"a,b\n")
    write_whole(tmp_path / "table.csv", b"a,b\n")
    with pytest.raises(InputError, match="must be a new file"):
        write_whole(tmp_path / "table.csv", b"a,c\n")


def test_a_page_that_the_user_changed_is_the_users(tmp_path: Path) -> None:
    write_whole(tmp_path / "why.html", b"<p>1</p>")
    (tmp_path / "why.html").write_bytes((tmp_path / "why.html").read_bytes().replace(b"1", b"my note"))
    with pytest.raises(InputError, match="or was changed since"):
        write_whole(tmp_path / "why.html", b"<p>2</p>")


def test_devices_pipes_folders_and_loops_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    before = Path("/dev/null").stat().st_ino
    for path, said in (
        (Path("/dev/null"), "no plain file"),
        (tmp_path / "pipe", "no plain file"),
        (tmp_path / "folder", "a folder"),
        (tmp_path / "loop", "whose links lead nowhere"),
    ):
        for write in (lambda place: write_whole(place, b"1"), lambda place: try_file(place, name="--out")):
            with pytest.raises(InputError, match=said):
                write(path)
    assert Path("/dev/null").stat().st_ino == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "loop", "pipe"]


@pytest.mark.parametrize("place", ["pipe", "file", "foreign", "loop", "pipe/below", "file/below"])
def test_no_folder_is_begun_where_something_else_stands(tmp_path: Path, place: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("the user's")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis").write_text("the user's")
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    for begin in (
        lambda path: try_folder(path, name="--out"),
        lambda path: fill(path, a="1"),
        lambda path: OwnFolder(path).claim(name="checkpoint", marker="state"),
    ):
        with pytest.raises((InputError, StorageError)):
            begin(tmp_path / place)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_that_can_be_written_is_as_it_was_after_the_trial(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    try_folder(tmp_path / "mine", overwrite=True)
    try_folder(tmp_path / "empty")
    try_folder(tmp_path / "x" / "y" / "z")
    try_file(tmp_path / "x" / "y" / "z.html")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["n" * 256, "n" * 300 + "/bank"])
def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    for trial in (try_folder, try_file, lambda path: OwnFolder(path).claim(name="checkpoint", marker="state")):
        with pytest.raises((InputError, StorageError), match=r"must be a path|File name too long"):
            trial(tmp_path / name)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write, such as /proc")
def test_a_place_that_cannot_be_written_is_refused_before_the_work() -> None:
    for trial in (try_folder, try_file, lambda path: OwnFolder(path).claim(name="checkpoint", marker="state")):
        with pytest.raises(StorageError, match="could not be written"):
            trial("/proc/likethat-bank")


@pytest.mark.skipif(not Path("/dev/shm").is_mount(), reason="needs a mount point, such as /dev/shm")
def test_a_mount_point_is_refused_before_the_work_and_a_folder_in_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("likethat._files._check_ours", lambda *_, **__: None)  # other processes may have files there
    with pytest.raises(InputError, match=r"which is a mount point\. Give a folder in it, such as /dev/shm/new"):
        try_folder("/dev/shm", name="--out")
    try_folder(f"/dev/shm/likethat-{os.getpid()}")


def test_a_folder_of_ours_in_a_parent_that_is_not_ours_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "mine", a="1")

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    with pytest.raises(StorageError, match="Permission denied"):
        try_folder(tmp_path / "mine", overwrite=True)
    assert names(tmp_path / "mine") == ["a"]


def test_what_was_written_before_is_replaced_when_that_is_said(tmp_path: Path) -> None:
    fill(tmp_path / "mine", a="1")
    with (
        pytest.raises(InputError, match=r"which likethat wrote before.*or add overwrite=True"),
        new_folder(tmp_path / "mine"),
    ):
        pass
    with pytest.raises(InputError, match=r"`--out` must be a new or empty folder.*or add --overwrite"):
        try_folder(tmp_path / "mine", name="--out")
    assert names(tmp_path / "mine") == ["a"]


_KILLED_FILE = """
import os, sys
from collections.abc import Callable
from pathlib import Path
from likethat import _files
os.fsync = lambda _: os._exit(9)
_files.write_whole(sys.argv[1], b"half")
"""


@pytest.mark.parametrize("name", ["why.html", "w" * 60 + ".html"], ids=["short", "long"])
def test_the_next_writer_of_a_file_sweeps_what_a_killed_one_left(tmp_path: Path, name: str) -> None:
    asked = [sys.executable, "-c", _KILLED_FILE, str(tmp_path / name)]
    assert subprocess.run(asked, check=False).returncode == 9
    (left,) = tmp_path.iterdir()
    others = [tmp_path / f".{name}.swp", tmp_path / f"{left.name}0", tmp_path / ".other.likethat-00000000"]
    for other in others:
        other.write_text("the user's")
    write_whole(tmp_path / name, b"whole")
    assert set(tmp_path.iterdir()) == {tmp_path / name, *others}


def test_what_a_living_writer_of_a_file_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync, begun = os.fsync, []

    def another(handle: int) -> None:
        if not begun:
            begun.append(handle)
            write_whole(tmp_path / "why.html", b"second")
        fsync(handle)

    monkeypatch.setattr("os.fsync", another)
    write_whole(tmp_path / "why.html", b"first")
    assert [path.name for path in tmp_path.iterdir()] == ["why.html"]
    assert (tmp_path / "why.html").read_bytes().startswith(b"first<!--")


def dying_at(change: int, work: Callable[[], None]) -> bool:
    """Do work in a process that dies just before its so manieth change on disk; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        done = 0

        def watch() -> None:
            nonlocal done
            done += 1
            if done > change:
                os._exit(9)

        before_changes(watch)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_before_any_change_on_disk_the_next_run_comes_to_the_same_and_leaves_nothing(tmp_path: Path) -> None:
    def work() -> None:
        left = OwnFolder(tmp_path / "deep" / "left")
        if not left.has_list:  # else it goes on
            left.claim(name="checkpoint", marker="first")
            left.write("first", b"1")
        left.write("second", b"2")
        fill(tmp_path / "deep" / "made", a="1", b="2")
        write_whole(tmp_path / "deep" / "page.html", b"3")
        left.remove()

    def found() -> dict[str, bytes]:
        return {str(one): one.read_bytes() if one.is_file() else b"" for one in (tmp_path / "deep").rglob("*")}

    work()
    whole, ended, change = found(), False, 0
    assert set(names(tmp_path / "deep")) == {"made", "page.html"}
    while not ended:
        for is_begun in (True, False):
            if not is_begun:
                shutil.rmtree(tmp_path / "deep")
            ended = dying_at(change, work)
            work()
            assert found() == whole, f"killed before change {change}"
        change += 1
    assert change > 30
