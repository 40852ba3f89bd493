"""Reading texts from a file, one a line."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from likethat._options import check_path, shown
from likethat.errors import InputError

_FEWEST = 16  # texts to learn anything from, as of images


def read_texts(path: str | Path) -> list[str]:
    """Return the texts in a file, one a line; blank lines are left out.

    Raises:
        InputError: no such file, none in UTF-8, or nothing in it.
    """
    path = check_path(path)
    if not path.is_file():
        raise InputError(f"`path` must be a text file with one text a line, got {path}, which is not there or no file.")
    content = path.read_bytes()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path} must be in UTF-8, got a byte that is none in line {line}. Save it as UTF-8."
        ) from error
    if "\0" in content[:4096].decode("utf-8", "replace"):
        raise InputError(f"{path} must be a text file with one text a line, got one with zero bytes: is it binary?")
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise InputError(f"{path} is empty. Give a file with one text a line.")
    return texts


def as_texts(data: Sequence[str] | str | Path) -> list[str]:
    """Return texts to learn from, given as a list or as a file.

    Raises:
        InputError: something else, or fewer than 16 texts, or always the same one.
    """
    if hasattr(data, "columns") or isinstance(data, Mapping):
        raise InputError(
            f"`data` must be texts, got a {type(data).__name__}. Give the column that holds them, such as data['text']."
        )
    if not isinstance(data, Path | Iterable) or isinstance(data, bytes | type):
        raise InputError(f"`data` must be texts, or a file with one text a line, got {shown(data)}.")
    texts = read_texts(data) if isinstance(data, str | Path) else list(data)
    strange = [type(text).__name__ for text in texts if not isinstance(text, str)]
    if strange:
        raise InputError(f"`data` must be texts, or a file with one text a line, got {strange[0]} in it.")
    texts = [str(text) for text in texts if text.strip()]  # NumPy's become plain
    if len(texts) < _FEWEST or len(set(texts)) < 2:
        raise InputError(
            f"there must be at least {_FEWEST} texts that are not all the same to learn from, got {len(texts)} "
            f"({len(set(texts))} different)."
        )
    return texts
