"""Why searches end: every reason, with its advice, by a search that ends so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from schemas import command_schema
from torch import Tensor

import likethat as lt
from likethat._documents import digest_of
from likethat.errors import BlackBoxError, InputError
from likethat.explanations.status import ADVICE, Reason, Status
from likethat.generators.priors import StandardNormal
from likethat.generators.text.proposer import Proposal
from likethat.generators.text.reconstruction import status_of
from likethat.generators.training import TrainingOptions, fit_network
from likethat.search import Surrogate

TEXTS = ["a good film", "a bad film", "the plot was good", "the plot was bad", "so good and so long", "bad, bad"] * 4
QUICK = Surrogate(candidates=40)


class Pictures:
    """A denoiser of pictures of a Gaussian brightness in each half; from one point on, others."""

    shape, sigma_max = (1, 8, 8), 4.0

    def __init__(self, later: Callable[[Tensor], Tensor] = lambda x: x, *, after: int = 0) -> None:
        self.later, self.after, self.calls = later, after, 0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls += 1
        halves = torch.nn.functional.avg_pool2d(x, (8, 4))
        share = 0.09 / (0.09 + (sigma[:, None, None, None] / 5) ** 2)
        made = torch.nn.functional.interpolate(0.5 + share * (halves - 0.5), scale_factor=(8, 4))
        return self.later(made) if self.calls > self.after else made


class Rows:
    """Two columns from two latents, in steps: many latents make the same row."""

    kind, differentiable, prior = "table", False, StandardNormal(2)

    def __init__(self, decimals: int) -> None:
        self.decimals = decimals

    def __call__(self, latents: Tensor) -> pd.DataFrame:
        return pd.DataFrame(
            {"a": latents[:, 0].round(decimals=self.decimals).tolist(), "b": latents[:, 1].round().tolist()}
        )

    def encode(self, inputs: pd.DataFrame) -> Tensor:
        return torch.tensor(inputs.to_numpy(), dtype=torch.float32)


def halves(x: Tensor) -> Tensor:
    """Which half is brighter."""
    left, right = x[..., :4].mean((1, 2, 3)), x[..., 4:].mean((1, 2, 3))
    return torch.stack([(left - right) * 9, (right - left) * 9], 1).softmax(1)


def never(_: Any) -> Tensor:
    return torch.tensor([[0.7, 0.3]]).repeat(len(_), 1)


def hardly(x: Any) -> Tensor:
    """Answers that differ, and never name the second class."""
    size = x.flatten(1).mean(1) if isinstance(x, Tensor) else torch.tensor(x["a"].to_numpy()) / 20
    return torch.stack([0.8 - 0.1 * size, 0.2 + 0.1 * size], 1)


def good(texts: list[str]) -> Tensor:
    score = torch.tensor([float(text.count("good") - text.count("bad")) for text in texts])
    return torch.stack([-3 * score, 3 * score], 1).softmax(1)


def hardly_bad(texts: list[str]) -> Tensor:
    return good(texts) * 0.1 + torch.tensor([0.0, 0.9])


def picture() -> Tensor:
    return torch.tensor([0.8, 0.2]).repeat_interleave(4).expand(1, 8, 8).clone()


def stop_at(done: int) -> Callable[[lt.Progress], None]:
    def watch(report: lt.Progress) -> None:
        if report.done >= done:
            raise KeyboardInterrupt

    return watch


def image(predict: Any = halves, generator: Any = None, *, method: Any = None, **options: Any) -> Status:
    explainer = lt.FreeMCG(Pictures() if generator is None else generator, **(method or {}))
    return explainer.counterfactual(lt.BlackBox(predict), picture(), 1, **options).status


def sampled(predict: Any) -> Status:
    method = lt.papers.FreeMCG(Pictures(), n_particles=4, n_steps=3)
    return method.counterfactual(lt.BlackBox(predict), picture(), 1, budget=200).status


def row(predict: Any, **options: Any) -> Status:
    source = pd.DataFrame({"a": [0.0], "b": [0.0]})
    return lt.FreeMCG(Rows(3)).counterfactual(lt.BlackBox(predict), source, 1, **options).status


def text(
    predict: Any = good, source: str = "a good film", *, proposer: Any = None, n: int = 1, budget: int = 60, **more: Any
) -> Status:
    edits = lt.TextEdits(TEXTS, proposer=proposer)
    return lt.FreeMCG(edits).counterfactual(lt.BlackBox(predict), source, n=n, budget=budget, **more).status


def exemplars(**options: Any) -> Status:
    method = lt.Exemplars(Rows(0), algorithm=QUICK, spacing=0)
    model = lt.BlackBox(lambda x: torch.stack([3 * torch.tensor(x["a"].to_numpy()), torch.zeros(len(x))], 1).softmax(1))
    return method.search(model, 0, **options).status


def real_texts(**options: Any) -> Status:
    return lt.Exemplars(lt.TextEdits(TEXTS), tolerance=0.01).search(lt.BlackBox(good), 1, **options).status


def heat_map(predict: Any = halves, box: Any = None, **options: Any) -> Status:
    return lt.FreeMCG().attribute(lt.BlackBox(predict, **(box or {})), picture(), 0, **options).status


def words(predict: Any = good, box: Any = None, **options: Any) -> Status:
    return lt.FreeMCG().attribute(lt.BlackBox(predict, **(box or {})), "a good film so good", **options).status


def training(*, falls: bool, steps: int) -> Status:
    """A scalar that is drawn to 1; what was kept back wants it there too, or as far from there as can be."""
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)

    def loss(_rows: Tensor, _share: float, _rng: torch.Generator) -> Tensor:
        return (module.weight - 1).square().sum()

    def held_out() -> float:
        far = float(abs(module.weight - 1))
        return max(far, 0.5) if falls else -far

    options = TrainingOptions(steps=steps, look_every=1, patience=2, learning_rate=0.1)
    return fit_network(module, loss, held_out=held_out, n_rows=8, options=options, key={}).status(more="epochs")


def failing(predict: Any, *, after: int) -> Any:
    asked = 0

    def answer(x: Any) -> Tensor:
        nonlocal asked
        asked += len(x)
        if asked > after:
            raise BlackBoxError("the service is down.")
        return predict(x)

    return answer


def odd(_: str, place: int) -> list[Proposal]:
    return [Proposal(start=place, stop=place + 1, text="bad", oddness=5.0)]


def idle(_: str, place: int) -> list[Proposal]:
    return [Proposal(start=place, stop=place + 1, text="film", oddness=0.0)]


CASES: dict[tuple[str, Reason], tuple[Callable[[], Status], str]] = {
    ("counterfactual", Reason.REACHED): (lambda: image(), ""),
    ("counterfactual", Reason.LESS_CONFIDENT): (
        lambda: image(lambda x: halves(x) * 0.2 + 0.4, budget=60),
        "0.98 was asked for",
    ),
    ("counterfactual", Reason.BUDGET): (lambda: image(hardly, budget=40), "Give more budget, another target"),
    ("counterfactual", Reason.NO_PROGRESS): (
        lambda: image(generator=Pictures(lambda y: y * 0 + 0.5)),
        "the same inputs again and again",
    ),
    ("counterfactual", Reason.OUT_OF_REACH): (lambda: row(hardly, budget=150), "more budget is unlikely to help"),
    ("counterfactual", Reason.COLLAPSED): (
        lambda: image(lambda x: never(x) + 1e-12),
        "the same answer to every particle",
    ),
    ("counterfactual", Reason.HARD_LABELS): (
        lambda: image(lambda x: torch.tensor([[1.0, 0.0]]).repeat(len(x), 1), budget=20),
        "labels alone",
    ),
    ("counterfactual", Reason.STEPS): (
        lambda: sampled(hardly),
        "took all its steps, so more budget would not be spent",
    ),
    ("counterfactual", Reason.INTERRUPTED): (lambda: image(watch=stop_at(20)), "Stopped after"),
    ("counterfactual", Reason.FAILED): (
        lambda: image(failing(hardly, after=30), budget=100),
        "the service is down. The best so far is kept.",
    ),
    ("edited text", Reason.REACHED): (lambda: text(), ""),
    ("edited text", Reason.BUDGET): (lambda: text(hardly_bad, budget=12), "more budget"),
    ("edited text", Reason.NO_PROGRESS): (
        lambda: text(hardly_bad, proposer=idle),
        "Give more texts",
    ),
    ("edited text", Reason.CONSTANT): (
        lambda: text(lambda x: never(x).flip(1)),
        "the same answer to every changed text",
    ),
    ("edited text", Reason.NOTHING_TO_CHANGE): (lambda: text(proposer=lambda *_: []), "Nothing could be proposed"),
    ("edited text", Reason.IMPLAUSIBLE): (lambda: text(proposer=odd), "reads badly: “bad” costs 5.0 nats"),
    ("edited text", Reason.UNFAMILIAR): (
        lambda: text(source="a good film eins zwei drei vier"),
        "3 of the 7 words of the source",
    ),
    ("edited text", Reason.INTERRUPTED): (lambda: text(watch=stop_at(7)), "Stopped after"),
    ("edited text", Reason.FAILED): (
        lambda: text(failing(hardly_bad, after=11)),
        "the service is down. The best so far is kept.",
    ),
    ("exemplars", Reason.REACHED): (lambda: exemplars(n=1), ""),
    ("exemplars", Reason.BUDGET): (lambda: exemplars(n=8, budget=10), "within the budget of 10 queries"),
    ("exemplars", Reason.NO_PROGRESS): (lambda: exemplars(n=60, budget=300), "the same inputs again and again"),
    ("exemplars", Reason.INTERRUPTED): (lambda: exemplars(n=8, watch=stop_at(1)), "before it was stopped"),
    ("real texts", Reason.REACHED): (lambda: real_texts(n=1), ""),
    ("real texts", Reason.BUDGET): (lambda: real_texts(n=4, budget=2), "the budget of 2 queries"),
    ("real texts", Reason.NO_PROGRESS): (lambda: real_texts(n=20, budget=200), "more questions bring little"),
    ("real texts", Reason.INTERRUPTED): (lambda: real_texts(n=6, watch=stop_at(0)), "before it was stopped"),
    ("heat map", Reason.REACHED): (lambda: heat_map(), ""),
    ("heat map", Reason.BUDGET): (lambda: heat_map(box={"budget": 10}), "8 changed images were answered"),
    ("heat map", Reason.CONSTANT): (lambda: heat_map(never), "the same answer to every changed image"),
    ("heat map", Reason.INTERRUPTED): (lambda: heat_map(watch=stop_at(60)), "Stopped before the budget"),
    ("words", Reason.REACHED): (lambda: words(), ""),
    ("words", Reason.BUDGET): (lambda: words(box={"budget": 5}), "5 changed texts were answered"),
    ("words", Reason.CONSTANT): (lambda: words(never), "the same answer whatever was left out"),
    ("words", Reason.INTERRUPTED): (lambda: words(watch=stop_at(10)), "Stopped before the budget"),
    ("generator", Reason.REACHED): (lambda: training(falls=True, steps=200), ""),
    ("generator", Reason.STEPS): (
        lambda: training(falls=True, steps=3),
        "all 3 steps were taken: more",
    ),
    ("generator", Reason.LITTLE_LEARNED): (lambda: training(falls=False, steps=3), "is no lower than without training"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_every_reason_is_reached_and_its_advice_is_true(case: tuple[str, Reason]) -> None:
    run, said = CASES[case]
    status = run()
    assert status.reason is case[1]
    assert said in status.advice
    assert bool(status.advice) == bool(said)
    assert "{" not in status.advice


def test_a_generator_tells_how_its_training_ended_saved_and_opened_too(tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": range(24), "b": [1.0, 2.0, 4.0] * 8})
    made = lt.train_generator(rows, kind="table", epochs=1)
    assert made.status.reason is Reason.STEPS
    assert made.status
    assert "epochs=" in made.status.advice
    made.save(tmp_path / "made")
    again = lt.load_generator(tmp_path / "made")
    assert again.status == made.status
    assert f"| advice | {made.status.advice} |" in (tmp_path / "made" / "card.md").read_text("utf-8")
    again.card["ended"] = "bored"  # a reason of a newer likethat
    assert again.status is None
    del again.card["ended"]
    assert again.status is None


def test_texts_of_which_few_words_come_back_are_little_learned() -> None:
    done = Status(reached=True, reason=Reason.REACHED)
    assert status_of(0.5, done) is done
    short = status_of(0.31, done)
    assert (short.reached, short.reason) == (False, Reason.LITTLE_LEARNED)
    assert short.advice.startswith("31% of the words of texts that were kept back come out again; 50% are needed.")


def test_there_is_a_case_of_every_advice() -> None:
    written = {(sought, reason) for sought, reasons in ADVICE.items() for reason in reasons}
    assert set(CASES) == written | {(sought, Reason.REACHED) for sought in ADVICE}
    assert {reason for _, reason in CASES} == set(Reason)


def test_the_schema_and_the_docs_list_the_same_reasons() -> None:
    assert command_schema()["$defs"]["status"]["properties"]["reason"]["enum"] == [str(reason) for reason in Reason]
    docs = (Path(__file__).parents[2] / "docs" / "records.md").read_text("utf-8")
    assert all(f"| `{reason}` |" in docs for reason in Reason)


def saved(folder: Path, **change: Any) -> Path:
    """Save an attribution whose record says otherwise."""
    lt.FreeMCG().attribute(lt.BlackBox(halves), picture(), 0, budget=40).save(folder)
    record = json.loads((folder / "record.json").read_text())
    record["values"]["status"]["reason"] = change.pop("reason")
    record |= change
    (folder / "record.json").write_text(json.dumps(record | {"digest": digest_of(record)}))
    return folder


def test_a_reason_that_a_newer_library_knows_is_refused_in_the_words_of_the_policy(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a", reason="bored", version="9.4.0")
    with pytest.raises(InputError, match=r"written by likethat '9\.4\.0'.*'bored'.*Update likethat: pip install"):
        lt.open(folder)


def test_the_sentence_that_an_earlier_library_gave_as_a_reason_is_a_failure(tmp_path: Path) -> None:
    opened = lt.open(saved(tmp_path / "a", reason="the service is down"))
    assert opened.status.reason is Reason.FAILED  # type: ignore[union-attr]
    known = lt.open(saved(tmp_path / "b", reason="hard labels", version="9.4.0"))
    assert known.status.reason is Reason.HARD_LABELS  # type: ignore[union-attr]
