"""Measure counterfactuals and attributions of black boxes beside other methods.

    python benchmarks/freemcg.py                   # everything; about an hour on one thread
    python benchmarks/freemcg.py digits --quick    # one section, a few of everything; nothing is written

Rows that a stopped run has finished are kept in benchmarks/.cache/freemcg.json; --fresh measures them again.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _data import CACHE
from _freemcg_costs import gradient, speed
from _freemcg_creatures import creatures
from _freemcg_digits import digits
from _freemcg_maps import attribution, errors, single
from _freemcg_tables import tables
from _rows import run

WORK = {
    "digits": digits,
    "creatures": creatures,
    "tables": tables,
    "attribution": attribution,
    "single": single,
    "errors": errors,
    "gradient": gradient,
    "speed": speed,
}
HEADINGS = {
    "digits": "Counterfactuals of digits; the oracle is a support vector machine on the pixels",
    "creatures": "Counterfactuals of creatures; the oracle reads the variant of every part, and knows no class",
    "tables": "Counterfactuals of tables; the model is a network, the oracle a random forest",
    "attribution": "Heat maps of digits: insertion less deletion with three replacements",
    "single": "Heat maps of creatures: single deletion against true parts, insertion less deletion",
    "errors": "Do the standard errors hold?",
    "gradient": "The gradient from outputs alone: cosine with the true one, projected on what the particles span",
    "speed": "Asking in batches: milliseconds an image",
}
NOTES = {
    "digits": """
*FID*: Fréchet distance to the training digits in the last hidden layer of a network that is neither model nor oracle;
the last row is that of as many held-out digits. *L1*, *L2*: of valid ones, per pixel.
""",
    "creatures": """
Targets of the first rows are of the source's family: two parts of eight differ. *Recall*: of the parts in which the
classes differ, the share that look another way than before; *as the target's*: the share that look as they should.
*Precision*: of the parts that changed, the share in which the classes differ. Another family differs in most parts.
""",
    "single": """
*Single deletion*: rank correlation of a part's heat with how far the log-odds fall when it is not drawn.
*Sensitivity*: how far a map moves, relative to its size, when the picture is disturbed by 0.02.
""",
    "speed": """
*Bound*: one by one over the bare model in batches of 32: no way of asking can be faster than the model itself on this
machine. A convolutional network keeps a core busy from the first image on; an estimator does not.
""",
}


if __name__ == "__main__":
    run(
        WORK, store=CACHE / "freemcg.json", results=Path(__file__).parent / "results" / "freemcg.md",
        title="FreeMCG, measured", headings=HEADINGS, notes=NOTES, description=__doc__,
    )  # fmt: skip
