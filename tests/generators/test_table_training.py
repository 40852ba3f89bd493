import itertools
from pathlib import Path

import pandas as pd
import pytest
import torch
from table_samples import mixed_generator, mixed_table

from likethat._progress import Progress
from likethat.errors import InputError, UnsafeFileError
from likethat.generators.table.files import read_table
from likethat.generators.table.generator import TableVAE
from likethat.generators.table.training import train_table
from likethat.options import TableTraining


def weights(generator: TableVAE) -> dict[str, torch.Tensor]:
    return generator.state()


def is_same(first: TableVAE, second: TableVAE) -> bool:
    return all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


@pytest.mark.slow
def test_same_seed_same_generator_and_another_seed_another() -> None:
    again = train_table(mixed_table(), TableTraining(epochs=8, latent_dim=6, quality=False))
    assert is_same(mixed_generator(), again)
    assert not is_same(
        mixed_generator(), train_table(mixed_table(), TableTraining(epochs=8, latent_dim=6, seed=1, quality=False))
    )


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [1, 10, 23])
def test_interrupted_and_resumed_is_as_never_interrupted(tmp_path: Path, stop_at: int) -> None:
    left = tmp_path / "left"

    def stop(report: Progress) -> None:
        if report.stage == "training" and report.done == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_table(mixed_table(), TableTraining(epochs=8, latent_dim=6, quality=False), checkpoint=left, watch=stop)
    assert sorted(path.name for path in left.iterdir()) == [".likethat.json", "checkpoint.json", "training.safetensors"]
    resumed = train_table(
        mixed_table(), TableTraining(epochs=8, latent_dim=6, quality=False), checkpoint=left, resume=True
    )
    assert is_same(mixed_generator(), resumed)
    resumed.save(tmp_path / "g")
    assert not left.exists()


@pytest.mark.slow
def test_progress_counts_the_steps_and_says_how_long() -> None:
    seen: list[Progress] = []
    train_table(mixed_table(), TableTraining(epochs=2, quality=False), watch=seen.append)
    seen = [report for report in seen if report.stage == "training"]
    assert [report.done for report in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].total == len(seen)
    assert all(report.seconds_left is not None and report.seconds_left >= 0 for report in seen)


@pytest.mark.slow
def test_a_checkpoint_of_another_training(tmp_path: Path) -> None:
    left, count = tmp_path / "left", itertools.count()

    def stop(report: Progress) -> None:
        if report.stage == "training" and next(count) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_table(mixed_table(), TableTraining(epochs=2, quality=False), checkpoint=left, watch=stop)
    with pytest.raises(InputError, match="left by another training: its data is"):
        train_table(mixed_table(seed=1), TableTraining(epochs=2, quality=False), checkpoint=left, resume=True)
    with pytest.raises(InputError, match=r"where no readable checkpoint\.json lies"):
        train_table(mixed_table(), TableTraining(epochs=2, quality=False), checkpoint=tmp_path / "none", resume=True)
    with pytest.raises(InputError, match="`checkpoint` must name the folder to resume from"):
        train_table(mixed_table(), TableTraining(epochs=2, quality=False), resume=True)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (mixed_table().head(1), "at least 16 rows and a column to learn from, got 1 rows"),
        (pd.DataFrame(index=range(20)), "got 20 rows and 0 columns"),
        (pd.DataFrame({"a": [1] * 20, "b": [None] * 20}), "must have a column that varies"),
        (["a", "b"], "`data` must be a DataFrame, or a CSV or Parquet file, got list"),
    ],
)
def test_tables_that_cannot_be_learned(data: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        train_table(data, TableTraining())  # type: ignore[arg-type]


def test_a_csv_file_is_read_with_its_separator_and_without_its_counter(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "ü", "😀"]})
    frame.to_csv(tmp_path / "comma.csv")
    frame.to_csv(tmp_path / "semicolon.csv", sep=";", index=False, encoding="utf-8-sig")
    frame.to_csv(tmp_path / "tab.tsv", sep="\t", index=False)
    frame.to_csv(tmp_path / "small.csv.gz", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    for path in sorted(tmp_path.iterdir()):
        pd.testing.assert_frame_equal(read_table(path), frame)


def test_dates_are_read_where_they_are_named(tmp_path: Path) -> None:
    (tmp_path / "days.csv").write_text("day,n\n2020-01-05,1\n2020-02-01,2\n")
    assert read_table(tmp_path / "days.csv", dates=["day"])["day"].dt.month.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("empty.csv", b"", "is empty. Give a file with a line of column names"),
        ("head.csv", b"a,b\n", "has column names and no rows"),
        ("latin.csv", "a,b\nü,1\n".encode("latin-1"), "must be a text file in UTF-8"),
        ("torn.csv", b'a,b\n1,2\n"3,4\n', "does not read as a CSV table"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "does not read as a CSV table"),
        ("torn.csv.gz", b"\x1f\x8bnonsense", "does not read as a CSV table"),
        ("table.parquet", b"PAR1 nonsense", "does not read as a Parquet table"),
        ("table.xlsx", b"PK", "must end in .csv, .tsv or .parquet"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_table(tmp_path / name)


def test_files_that_are_not_there_or_not_safe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there or is no file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is not there or is no file"):
        read_table(tmp_path)
    with pytest.raises(UnsafeFileError, match="is a pickle"):
        read_table(tmp_path / "frame.pkl")
