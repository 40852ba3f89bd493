"""Tables as CSV whose texts no spreadsheet runs."""

import csv
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in wide signs too."""


def harmless(value: Any) -> Any:
    """Return a cell as it is, or with an apostrophe before a text that a spreadsheet would run; numbers stay numbers.

    Example:
        >>> [harmless(value) for value in ["=1+1", "-3.5", -3.5, "@sum", "beak"]]
        ["'=1+1", '-3.5', -3.5, "'@sum", 'beak']
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_BEGINS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def csv_of(frame: "pd.DataFrame") -> str:
    """Return a table as CSV without its index, every text harmless, names of columns too."""
    import pandas as pd

    safe = pd.DataFrame({place: _column(frame.iloc[:, place]) for place in range(frame.shape[1])})
    safe.columns = [harmless(name) for name in frame.columns]
    text = safe.to_csv(index=False, lineterminator="\n")
    if "\r" not in text:
        return text
    return safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)  # else it would begin a new row


def _column(series: "pd.Series[Any]") -> Any:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_datetime64_any_dtype(series.dtype):
        return series
    return series.astype(object).map(harmless)
