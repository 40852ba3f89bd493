"""Reading a table from a CSV or Parquet file."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likethat._calls import foreign
from likethat._checks import require
from likethat._options import check_path, shown
from likethat.errors import InputError, UnsafeFileError

if TYPE_CHECKING:
    import pandas as pd

_TEXT, _PARQUET = {".csv", ".tsv", ".txt"}, {".parquet", ".pq"}
_DRAWN = 5000  # rows: from 2,000 on some are kept back, and what is learned is measured on them
_PICKLES = {".pkl", ".pickle", ".joblib"}


def read_table(path: str | Path, *, dates: Sequence[str] = ()) -> "pd.DataFrame":
    """Return the table in a file.

    A first column that only counts the rows, as ``frame.to_csv`` leaves behind, is left out.

    Args:
        path: a CSV file (commas, semicolons or tabs; also .gz) or a Parquet file.
        dates: columns of a CSV file that hold dates.

    Raises:
        InputError: no such file, nothing in it, or no table.
        UnsafeFileError: a pickle.
        MissingExtraError: pandas, or pyarrow for Parquet, is not installed.
    """
    require("pandas", purpose="reading a table")
    path = check_path(path)
    suffix = Path(path.stem).suffix.lower() if path.suffix == ".gz" else path.suffix.lower()
    if suffix in _PICKLES:
        raise UnsafeFileError(f"{path} is a pickle, which could run code. Save the table as CSV or Parquet.")
    if not path.is_file():
        raise InputError(f"`path` must be a CSV or Parquet file, got {path}, which is not there or is no file.")
    if suffix not in _TEXT | _PARQUET:
        raise InputError(f"`path` must end in .csv, .tsv or .parquet, got {path.name}. Save the table as CSV.")
    if not path.stat().st_size:
        raise InputError(f"{path} is empty. Give a file with a line of column names and some rows.")
    frame = _parquet(path) if suffix in _PARQUET else _csv(path, dates)
    if not len(frame):
        raise InputError(f"{path} has column names and no rows.")
    return _without_counter(frame)


def draw_table(sampler: Callable[[int], Any], *, seed: int) -> "pd.DataFrame":
    """Return rows that a sampler draws, from one seed after the other until there are 5,000.

    Raises:
        InputError: no table with rows, other columns than before, or the same rows for another seed.
    """
    require("pandas", purpose="a sampler of tables")
    import pandas as pd

    drawn: list[pd.DataFrame] = []
    while sum(map(len, drawn)) < _DRAWN:
        with foreign("`data`, called with a seed,"):
            rows = sampler(seed + len(drawn))
        if not isinstance(rows, pd.DataFrame) or not len(rows):
            got = "one without rows" if isinstance(rows, pd.DataFrame) else shown(rows)
            raise InputError(f"`data` must return a DataFrame for a seed, got {got}. Or give the rows themselves.")
        if drawn and (list(rows.columns) != list(drawn[0].columns) or rows.equals(drawn[-1])):
            what = "the same rows" if rows.equals(drawn[-1]) else "other columns"
            raise InputError(f"`data` must return other rows in the same columns for another seed, got {what}.")
        drawn.append(rows.reset_index(drop=True))
    return pd.concat(drawn, ignore_index=True)[:_DRAWN]


def _csv(path: Path, dates: Sequence[str]) -> Any:
    import pandas as pd

    try:
        separator = "\t" if ".tsv" in path.suffixes else _separator(path)
        return pd.read_csv(path, sep=separator, encoding="utf-8-sig", parse_dates=list(dates), low_memory=False)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} must be a text file in UTF-8, got a byte that is none at {error.start}. Save it as UTF-8."
        ) from error
    except (ValueError, OSError, EOFError, csv.Error) as error:  # pandas' parser errors are ValueErrors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} does not read as a CSV table ({reason}).") from error


def _separator(path: Path) -> str:
    """Return what separates the columns: what the first line has most of."""
    import gzip

    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        first = file.readline()
    return max(",;\t|", key=first.count)


def _parquet(path: Path) -> Any:
    import pandas as pd

    require("pyarrow", purpose="reading Parquet")
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except (ValueError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} does not read as a Parquet table ({reason}).") from error


def _without_counter(frame: Any) -> Any:
    first = frame.columns[0]
    is_counter = str(first) in {"Unnamed: 0", "", "__index_level_0__"} and len(frame.columns) > 1
    if is_counter and frame[first].tolist() in (list(range(len(frame))), list(range(1, len(frame) + 1))):
        return frame.drop(columns=first)
    return frame
