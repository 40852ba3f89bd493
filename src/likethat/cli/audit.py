"""``likethat audit MODEL DATA``: what looks wrong, before anybody relies on the model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from likethat._files import try_file
from likethat.cli.console import give, notes, say, say_path
from likethat.cli.flags import command
from likethat.cli.opening import open_images
from likethat.cli.options import CLASS_NAMES_HELP, MODEL_PANEL, WORK_PANEL, OfNetwork, Reading
from likethat.cli.places import check_page
from likethat.cli.progress import progress_bar
from likethat.options import AuditOptions
from likethat.options.declaring import option


@dataclass(frozen=True, kw_only=True, eq=False)
class Audited(Reading, panel=WORK_PANEL):
    """How the pictures are read, and where the page goes."""

    class_names: Path | None = option(None, CLASS_NAMES_HELP, metavar="FILE", panel=MODEL_PANEL)
    out: Path = option(Path("audit.html"), "the page", flags=("--out", "-o"), metavar="FILE")
    test: str | None = option(
        None, "a folder of test pictures: near copies of DATA among them are told", metavar="DATA"
    )
    repair: Path | None = option(
        None, "write the weights without the first shortcut here, .safetensors; nothing without one", metavar="FILE"
    )


@command(
    "likethat audit zoo:digits zoo:digits",
    "likethat audit timm:resnet18 photos/ --weights mine.safetensors --out audit.html",
    "likethat audit my_module.py:build photos/ --repair better.safetensors --json",
)
def audit(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="torchvision:NAME, timm:NAME, hf:ORG/NAME, zoo:creatures, …")
    ],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder (subfolders are labels), or zoo:creatures, zoo:digits.")
    ],
    of: OfNetwork,
    options: Annotated[dict[str, Any], AuditOptions],
    work: Audited,
) -> None:
    """Look for what is wrong with a model, its pictures and its labels.

    Give the pictures it was trained on, or such as it was, a thousand and more in a folder a class.
    The page shows each finding with pictures of both states, and what taking it out would cost; --repair takes it out.
    """
    from likethat.auditing import audit as look
    from likethat.auditing import repair
    from likethat.report.audit import shortcut_sentence, summary
    from likethat.report.findings import finding_text

    check_page(work.out, overwrite=work.overwrite)
    if work.repair is not None:
        try_file(work.repair, overwrite=work.overwrite, name="--repair")
    source = open_images(data, name="DATA")
    tests = None if work.test is None else open_images(work.test, name="--test", held_out=True)
    split = of.opened(model, work.class_names)
    notes.print(f"{len(source):,} images in {data}", markup=False, soft_wrap=True)
    with progress_bar() as watch:
        found = look(split, source, **options, **work.of_images(), test=tests, watch=watch)
    say(summary(found), style="bold")
    for one in found.clear:
        say(f"{shortcut_sentence(found, one)} Score {one.score:.2f} ({one.interval[0]:.2f} to {one.interval[1]:.2f}).")
    for other in found.findings:
        if other.is_clear:
            say(finding_text(found, other).sentence)
    for note in found.provenance.notes:
        say(f"note: {note}", style="yellow")
    give(found)
    found.save(work.out, overwrite=work.overwrite)
    say_path("page", work.out)
    if work.repair is not None and not found.clear:
        say(f"no shortcut is clear, so nothing was repaired and {work.repair} was not written", style="yellow")
    elif work.repair is not None:
        say_path("repaired weights", repair(split, found.clear[0]).save(work.repair, overwrite=work.overwrite))
