"""``likethat fit prodg``: prototypes with no data at all, made by a generator."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from likethat._options import byte_count
from likethat._progress import Progress, Watcher
from likethat.cli._generating import GeneratorOption, Pipeline, open_generator, pipeline_options
from likethat.cli.console import duration, notes, say
from likethat.cli.fit import app
from likethat.cli.fitting import (
    Job,
    check_place,
    open_job_model,
    save_what_fits,
    say_measures,
    say_outcome,
)
from likethat.cli.flags import with_flags
from likethat.cli.options import class_index_or_name, examples
from likethat.cli.places import checkpoint_of
from likethat.cli.progress import Estimate, with_estimate
from likethat.errors import InputError
from likethat.options import ProDGOptions
from likethat.options.declaring import Declared, option

if TYPE_CHECKING:
    from likethat.explainers import ProDG
    from likethat.explanations import Bank
    from likethat.explanations.records import Provenance
    from likethat.models import SplitModel

__all__ = ["app", "prodg"]

_CHANNELS_PANEL = "Which channels"
_BACKWARD = 2  # what an image with its gradient costs, in samples; measured on the zoo
_COMPARED = 16  # channels of the random network that climb at most
_SAMPLES, _PROTOTYPES = "making samples", "making the prototypes again"
_PURITIES = {
    "purity": "purity",
    "purity_of_samples": "  of the samples it began with",
    "control_prior_purity": "  of the best plain samples (control)",
    "control_random_purity": "  made for random weights (control)",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Wanted(Declared):
    """Which channels climb."""

    target: str | None = option(
        None, "climb only with the channels that supply most to this class: index or name",
        flags=("--target", "-t"), metavar="CLASS", panel=_CHANNELS_PANEL,
    )  # fmt: skip
    n_channels: int = option(12, "with --target: how many those are", low=1, panel=_CHANNELS_PANEL)
    channels: str | None = option(
        None, "climb only with these; all without --target", metavar="N,N,...", panel=_CHANNELS_PANEL
    )

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


@app.command(
    epilog=examples(
        'likethat fit prodg --model zoo:creatures --generator zoo:creatures --target "sleepy trunk calf" --out bank',
        "likethat fit prodg -m zoo:digits -g zoo:digits -o bank --resume",
        "likethat fit prodg -m zoo:digits -g zoo:digits -o bank --algorithm cma-es --steps 24 --step 0.1",
        'likethat fit prodg -m timm:resnet18 -g diffusers:ORG/NAME --by prompt --anchor "a wolf" -t 269 -o bank',
    )
)
@with_flags(options=ProDGOptions, without=("generator",), job=Job, wanted=Wanted, pipeline=Pipeline)
def prodg(
    options: dict[str, Any],
    job: dict[str, Any],
    wanted: dict[str, Any],
    pipeline: dict[str, Any],
    *,
    generator: GeneratorOption,
) -> None:
    """Find what each channel of a network looks for without a single image: a generator makes them.

    Beside the prototypes stand two controls: the best of as many plain samples, and prototypes made for random weights.
    Ctrl-C leaves a checkpoint beside OUT.
    The same command with [bold]--resume[/bold] goes on from it, to the same bank.
    """
    from likethat.explainers import ProDG

    work, chosen, told = Job(**job), Wanted(**wanted), Pipeline(**pipeline)
    chosen.numbers()
    byte_count(work.memory_budget, name="--memory-budget")
    check_place(work)
    of_pipeline = pipeline_options(told)
    split = open_job_model(work)
    if anchors := (*(told.anchor or ()), *(split.class_names if told.class_anchors else ())):
        of_pipeline["anchors"] = anchors
    made = open_generator(generator, device=work.device, **of_pipeline)
    _fit_and_save(ProDG(made, **options), split, work, chosen)


def _fit_and_save(method: "ProDG", model: "SplitModel", job: Job, wanted: Wanted) -> "Bank":
    work = _Work.of(method, n_channels=wanted.count(model))
    notes.print(
        f"no images are needed: {method.n_samples:,} samples are looked through, then {wanted.count(model):,} channels "
        f"climb, {work.climbing:,} images",
        soft_wrap=True,
    )

    other = _other_shape(method, model)
    if other:
        notes.print(other, style="yellow", soft_wrap=True)

    def fit(watch: Watcher) -> "Bank":
        estimate = Estimate(stage=_SAMPLES, after=2.0)
        return method.fit(
            model,
            target=class_index_or_name(wanted.target, model.class_names),
            n_channels=wanted.n_channels,
            channels=wanted.numbers(),
            memory_budget=byte_count(job.memory_budget, name="--memory-budget"),
            checkpoint=checkpoint_of(job.out),
            resume=job.resume,
            watch=_Renamed(with_estimate(watch, estimate, work.outlook)),
        )

    bank = save_what_fits(fit, job)
    say_measures(bank, _summary(bank.provenance))
    _say_controls(bank.provenance)
    say_outcome(bank, job, next_words=["likethat", "show", str(job.out), "--out", f"{job.out.name}.html"])
    return bank


def _other_shape(method: "ProDG", model: "SplitModel") -> str:
    """Say where the generator's images are not what the model was built for."""
    made = getattr(method.generator, "shape", None)
    if made is None:
        return ""
    ways = []
    if model.preprocess.input_size not in (None, tuple(made[1:])):
        ways.append("resized")
    if made[0] != model.in_channels:
        ways.append(f"turned from {made[0]} channels into {model.in_channels}")
    said = " and ".join(ways)
    return f"the generator's images are {said} for the model: was it trained on such images?" if ways else ""


class _Renamed:
    """A watcher that calls the passes over the generator's images by what they are."""

    def __init__(self, watch: Watcher) -> None:
        self._watch, self._has_samples = watch, False

    def __call__(self, report: Progress) -> None:
        if report.stage == "reading images":
            report = replace(report, stage=_PROTOTYPES if self._has_samples else _SAMPLES)
        else:
            self._has_samples = True
        self._watch(report)


@dataclass(frozen=True, kw_only=True)
class _Work:
    """How many images a run makes, for an estimate of its time.

    Attributes:
        samples: that are looked through first.
        climbing: made on the way up.
        compared: made on the way up for random weights.
        plain: made for the control of plain samples.
        price: of an image on the way up, in samples.
    """

    samples: int
    climbing: int
    compared: int
    plain: int
    price: float

    @classmethod
    def of(cls, method: "ProDG", *, n_channels: int) -> "_Work":
        """Return the work of a method on some channels."""
        each = method.n_prototypes * (method.steps + 1) if method.steps else 0
        by_gradient = method.algorithm in ("auto", "gradient") and method.generator.differentiable
        return cls(
            samples=method.n_samples,
            climbing=n_channels * each,
            compared=min(_COMPARED, n_channels) * each if method.controls else 0,
            plain=n_channels * each if method.controls else 0,
            price=_BACKWARD if by_gradient else 1.0,
        )

    def seconds(self, left: float, *, n_left: int) -> float:
        """Return what the whole still takes when the last `n_left` samples take `left` seconds.

        Example:
            100 samples at 0.1 s, 10 images on the way up at three times that, and 10 plain samples.

            >>> work = _Work(samples=200, climbing=10, compared=0, plain=10, price=3.0)
            >>> round(work.seconds(10.0, n_left=100), 6)
            14.0
        """
        each = left / max(1, n_left)
        return left + each * (self.price * (self.climbing + self.compared) + self.plain)

    def outlook(self, left: float, report: Progress) -> str:
        """Return the sentence for the beginning."""
        n_left = (report.total or report.done) - report.done
        parts = [f"{n_left:,} samples", f"{self.climbing:,} images on the way up"]
        if self.plain or self.compared:
            parts.append(f"{self.compared + self.plain:,} for the controls")
        return f"about {duration(self.seconds(left, n_left=n_left))} in all: {', '.join(parts)}"


def _summary(about: "Provenance") -> dict[str, object]:
    """Return the rows to print of what was measured."""
    measures = about.measures
    rows: dict[str, object] = {label: f"{measures[name]:.3f}" for name, label in _PURITIES.items() if name in measures}
    dead = round(measures.get("dead_channels", 0))
    rows["channels that climbed"] = f"{measures.get('climbing_channels', 0):.0f}"
    if dead:
        rows["dead channels"] = f"{dead:,}"
    rows["coverage of the top 4"] = f"{measures.get('coverage_of_4', 0):.3f}"
    rows["images made"] = f"{measures.get('generator_calls', 0):,.0f}, none opened"
    return rows


def _say_controls(about: "Provenance") -> None:
    """Say in words where a control comes too near."""
    from likethat.report.made import controls_view

    view = controls_view(about)
    for warning in view.warnings if view else ():
        say(f"warning: {warning}", style="yellow")
