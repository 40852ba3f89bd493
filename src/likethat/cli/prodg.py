"""``likethat fit prodg``: prototypes with no data at all, made by a generator."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from likethat._progress import Progress
from likethat.cli._generating import Maker
from likethat.cli.console import duration, notes, say
from likethat.cli.fitting import (
    Job,
    check_place,
    open_job_model,
    save_what_fits,
    say_measures,
    say_outcome,
)
from likethat.cli.flags import command
from likethat.cli.options import class_index_or_name, workers_of
from likethat.cli.progress import Estimate
from likethat.errors import InputError
from likethat.options import ProDGOptions
from likethat.options.declaring import Declared, option

if TYPE_CHECKING:
    from likethat.explainers import ProDG
    from likethat.models import SplitModel


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted(Declared, panel="Which channels"):
    """Which channels climb."""

    target: str | None = option(
        None, "climb only with the channels that supply most to this class: index or name",
        flags=("--target", "-t"), metavar="CLASS",
    )  # fmt: skip
    n_channels: int = option(12, "with --target: how many those are", low=1)
    channels: str | None = option(None, "climb only with these; all without --target", metavar="N,N,...")

    def check_together(self) -> None:
        """Refuse what is no list of numbers."""
        self.numbers()

    def numbers(self) -> list[int] | None:
        """Return the channels that the word lists.

        Raises:
            InputError: something else than whole numbers.

        Example:
            >>> Wanted(channels="3,17").numbers()
            [3, 17]
        """
        if self.channels is None:
            return None
        words = [word.strip() for word in self.channels.split(",")]
        if not all(word.isdecimal() for word in words):
            raise InputError(
                f"`--channels` must be whole numbers with commas between, such as 3,17, got {self.channels!r}."
            )
        return [int(word) for word in words]

    def count(self, model: "SplitModel") -> int:
        """Return how many climb."""
        if (numbers := self.numbers()) is not None:
            return len(numbers)
        return model.n_channels if self.target is None else min(self.n_channels, model.n_channels)


@command(
    'likethat fit prodg --model zoo:creatures --generator zoo:creatures --target "sleepy trunk calf" --out bank',
    "likethat fit prodg -m zoo:digits -g zoo:digits -o bank --resume",
    "likethat fit prodg -m zoo:digits -g zoo:digits -o bank --algorithm cma-es --steps 24 --step 0.1",
    'likethat fit prodg -m timm:resnet18 -g diffusers:ORG/NAME --by prompt --anchor "a wolf" -t 269 -o bank',
)
def prodg(options: Annotated[dict[str, Any], ProDGOptions], job: Job, wanted: Wanted, maker: Maker) -> None:
    """Find what each channel of a network looks for without a single image: a generator makes them.

    Beside the prototypes stand two controls: the best of as many plain samples, and prototypes made for random weights.
    Ctrl-C leaves a checkpoint beside OUT.
    The same command with [bold]--resume[/bold] goes on from it, to the same bank.
    """
    from likethat.explainers import ProDG

    check_place(job)
    split = open_job_model(job)
    made = maker.open(device=job.device, class_names=split.class_names)
    _fit_and_save(ProDG(made, **options), split, job, wanted)


def _fit_and_save(method: "ProDG", model: "SplitModel", job: Job, wanted: Wanted) -> None:
    from likethat.explainers.prodg.work import SAMPLES, Work, resized_or_turned
    from likethat.report.made import controls_view, made_rows

    work = Work.of(method, n_channels=wanted.count(model))
    notes.print(
        f"no images are needed: {method.n_samples:,} samples are looked through, then {wanted.count(model):,} channels "
        f"climb, {work.climbing:,} images",
        soft_wrap=True,
    )
    if changed := resized_or_turned(method.generator, model):
        said = f"the generator's images are {changed} for the model: was it trained on such images?"
        notes.print(said, style="yellow", soft_wrap=True)

    def outlook(left: float, report: Progress) -> str:
        n_left = (report.total or report.done) - report.done
        return f"about {duration(work.seconds(left, n_left=n_left))} in all: {work.parts(n_left=n_left)}"

    target = class_index_or_name(wanted.target, model.class_names)
    climbing: dict[str, Any] = {"target": target, "n_channels": wanted.n_channels, "channels": wanted.numbers()}
    climbing["workers"] = workers_of(job.workers)
    estimate = Estimate(stage=SAMPLES, sentence=outlook)
    bank = save_what_fits(partial(method.fit, model, **climbing), job, estimate)
    say_measures(bank, made_rows(bank.provenance.measures))
    view = controls_view(bank.provenance)
    for warning in view.warnings if view else ():
        say(f"warning: {warning}", style="yellow")
    words = ["likethat", "show", str(job.out), "--out", f"{job.out.name}.html"]
    say_outcome(bank, job, next_what="see it as a page", next_words=words)
