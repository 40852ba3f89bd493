"""The report's colours, in one place: they hold for pages, heat maps and figures."""

FOR = "#2166ac"
AGAINST = "#b4520a"
NEUTRAL = "#3a3f47"

ROW_COLOURS = ("#c2185b", "#00796b", "#6a3fc0", "#7a5c00", "#4e7a00", "#a3399e", "#455a64", "#8a4b2a")
"""One a row, told apart by a number too; none is near the blue and orange of the signs; white on each is AA."""


def row_colour(place: int) -> str:
    """Return the colour of the row at `place`, counted from 0.

    Example:
        >>> row_colour(0) == row_colour(len(ROW_COLOURS))
        True
    """
    return ROW_COLOURS[place % len(ROW_COLOURS)]


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue in [0, 255] of ``"#rrggbb"``.

    Example:
        >>> rgb("#2166ac")
        (33, 102, 172)
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
