"""Explanations check themselves, know when their network has changed, and belong to the thread that asked."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import likethat as lt
from likethat.errors import BankMismatchError, ModelError
from robustness_cases import REFUSED, RIGHT, Skip, Wrong, case, expect
from robustness_cases._sessions import digits

N = 48  # digits


class Wrapped(nn.Module):
    """The digits' network with something after its logits that no weight tells of."""

    def __init__(self, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.inner = lt.load("zoo:digits").network.to(dtype)
        self.factor, self.offset = 1.0, 0.0

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        logits: Tensor = self.inner(images) * self.factor + self.offset
        return logits


class Token(nn.Module):
    """A head that reads a class token beside the patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 12, 8, stride=8)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, 3)

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        logits: Tensor = self.head(self.norm(tokens)[:, 0])
        return logits


class Keeping(Wrapped):
    """Keeps what a pass made on itself, as much code does, and reads it later."""

    def forward(self, images: Tensor) -> Tensor:  # noqa: D102
        self.kept = self.inner.features(images - 0.5)  # type: ignore[operator, union-attr]
        threading.Event().wait(0.001)  # another thread's turn
        logits: Tensor = self.inner.head(self.kept.mean(dim=(2, 3)))  # type: ignore[operator, union-attr]
        return logits


def _fitted(network: nn.Module) -> lt.Bank:
    return lt.EPIC(n_prototypes=2).fit(lt.split(network.eval(), example=digits(N)[:2]), digits(N))


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


def _digits_network() -> nn.Module:
    return lt.load("zoo:digits").network


# ---- an explanation checks itself


def _drifting(name: str, *, factor: float = 1.0, offset: float = 0.0, dtype: torch.dtype = torch.float32) -> None:
    @case("self-check", name, accepts=REFUSED)
    def _() -> None:
        network = Wrapped(dtype=dtype)
        bank = _fitted(network)
        network.factor, network.offset = factor, offset
        bank.explain(digits(N)[0])


_drifting("logits a thousandth larger than their terms", factor=1.001)
_drifting("logits a third of a thousandth smaller", factor=0.9997)
_drifting("logits doubled", factor=2.0)
_drifting("logits turned round", factor=-1.0)
_drifting("a constant added to all logits", offset=0.1)
_drifting("bfloat16: a constant that is more than rounding", offset=1.0, dtype=torch.bfloat16)
_drifting("float16: logits doubled behind the rounding term", factor=2.0, dtype=torch.float16)


@case("self-check", "a difference of two logits, of which one was scaled", accepts=REFUSED)
def _() -> None:
    network = Wrapped()
    bank = _fitted(network)
    network.factor = 1.01
    bank.contrast(digits(N)[0])


@case("self-check", "a page of an explanation whose contributions were written to", accepts=REFUSED)
def _() -> None:
    import tempfile

    why = _fitted(Wrapped()).explain(digits(N)[0])
    why.contributions[why.rows[0].unit] += 1
    why.save(f"{tempfile.mkdtemp()}/why.html")


@case("self-check", "an explanation put together with another logit", accepts=REFUSED)
def _() -> None:
    why = _fitted(Wrapped()).explain(digits(N)[0])
    replace(why, logit=why.logit + 0.5)


@case("self-check", "an explanation put together with NaN", accepts=REFUSED)
def _() -> None:
    replace(_fitted(Wrapped()).explain(digits(N)[0]), bias=float("nan"))


@case("self-check", "an explanation whose rows are another's", accepts=REFUSED)
def _() -> None:
    bank = _fitted(Wrapped())
    replace(bank.explain(digits(N)[0]), rows=bank.explain(digits(N)[1]).rows)


@case("self-check", "an explanation whose remainder hides under another name", accepts=REFUSED)
def _() -> None:
    replace(_fitted(Wrapped()).explain(digits(N)[0]), remainder_terms={"rounding": 5.0})


def _sums(name: str, make: Callable[[], nn.Module]) -> None:
    @case("self-check", f"{name}: the terms are the network's own logit", accepts=RIGHT)
    def _() -> None:
        network = _seeded(make)
        bank = _fitted(network)
        for index in (0, 7, 19):
            why = bank.explain(digits(N)[index])
            with torch.no_grad():
                dtype = next(network.parameters()).dtype
                own = float(network(digits(N)[index : index + 1].to(dtype))[0].float()[why.target])
            total = float(why.contributions.sum(dtype=np.float64)) + why.remainder + why.bias
            tolerance = 1e-4 * max(1.0, abs(own)) * (300 if dtype == torch.bfloat16 else 1)
            expect(total, own, "sum of the terms", tolerance=tolerance)


def _without_bias() -> nn.Module:
    body = [nn.Conv2d(1, 6, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(6, 4, bias=False))


_sums("digits", _digits_network)
_sums("a class token", Token)
_sums("bfloat16", lambda: Wrapped(dtype=torch.bfloat16))
_sums("float64", lambda: Wrapped(dtype=torch.float64))
_sums("a head without bias", _without_bias)


# ---- changed weights


def _changed(name: str, change: Callable[[Any], None], *, accepts: tuple[str, ...] = REFUSED) -> None:
    @case("changed weights", name, accepts=accepts)
    def _() -> None:
        network = _digits_network()
        bank = _fitted(network)
        change(network)
        bank.explain(digits(N)[0])


def _no_grad(change: Callable[[Any], Any]) -> Callable[[Any], None]:
    @torch.no_grad()
    def inside(network: Any) -> None:
        change(network)

    return inside


def _one_step(network: Any) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(digits(N)[:4]).sum().backward()
    optimizer.step()


def _one_training_pass(network: Any) -> None:
    network.train()
    with torch.no_grad():
        network(digits(N)[:8])
    network.eval()


def _other_head(network: Any) -> None:
    network.head = nn.Linear(64, 10)


def _reset_norms(network: Any) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def _weights_put_back(network: Any) -> None:
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        network.head.weight.mul_(3)
    network.load_state_dict(kept)


def _same_again(network: Any) -> None:
    network.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})


_changed("the head scaled", _no_grad(lambda network: network.head.weight.mul_(1.5)))
_changed("one number of the head", _no_grad(lambda network: network.head.weight[3, 5].add_(1.0)))
_changed("the head's bias", _no_grad(lambda network: network.head.bias.add_(1.0)))
_changed("the first convolution", _no_grad(lambda network: network.features[0].weight.mul_(1.1)))
_changed("a batch norm's mean", _no_grad(lambda network: network.features[1].running_mean.add_(0.1)))
_changed("a batch norm's variance", _no_grad(lambda network: network.features[1].running_var.mul_(2.0)))
_changed("a batch norm's factor", _no_grad(lambda network: network.features[1].weight.mul_(2.0)))
_changed("statistics reset", _reset_norms)
_changed("one training pass moved the statistics", _one_training_pass)
_changed("one step of an optimiser", _one_step)
_changed("weights written through .data", lambda network: network.features[0].weight.data.mul_(2.0))
_changed("weights written through NumPy", lambda network: network.features[0].weight.detach().numpy().fill(0.1))
_changed(
    "other weights under .data",
    lambda network: setattr(network.features[0].weight, "data", torch.rand_like(network.features[0].weight)),
)
_changed(
    "a new parameter in place of the old",
    lambda network: setattr(network.head, "weight", nn.Parameter(torch.rand(10, 64))),
)
_changed("a new head", _other_head)
_changed("half the weights' precision", lambda network: network.half())
_changed("weights changed and put back are no change", _weights_put_back, accepts=RIGHT)
_changed("the same numbers loaded again are no change", _same_again, accepts=RIGHT)
_changed("training mode is no change", lambda network: network.train(), accepts=RIGHT)
_changed("frozen weights are no change", lambda network: network.requires_grad_(False), accepts=RIGHT)
_changed(
    "memory in another order is no change",
    lambda network: network.to(memory_format=torch.channels_last),
    accepts=RIGHT,
)


def _after_change(name: str, use: Callable[[lt.Bank, lt.SplitModel], Any]) -> None:
    @case("changed weights", name, accepts=RIGHT)
    def _() -> None:
        network = _digits_network()
        bank = _fitted(network)
        with torch.no_grad():
            network.features[0].weight.mul_(1.2)  # type: ignore[operator, index, union-attr]
        try:
            use(bank, bank.model)
        except (ModelError, BankMismatchError) as error:
            expect("changed" in str(error), True, f"says that weights changed ({error})")
            return
        raise Wrong("taken without a word")


_after_change("a contrast after the change", lambda bank, _: bank.contrast(digits(N)[0]))
_after_change("another fit with the old split", lambda _, model: lt.EPIC(n_prototypes=2).fit(model, digits(N)))
_after_change("parts with the old split", lambda _, model: lt.PartPrototypes(n_parts=2).fit(model, digits(N)))
_after_change("a replay with the old head", lambda _, model: model.replay(torch.rand(1, 64, 8, 8)))
_after_change("attaching a model that has changed", lambda bank, model: bank.attach(model))


# ---- threads


def _same(one: lt.Explanation, other: lt.Explanation) -> bool:
    return (
        one.logit == other.logit
        and np.array_equal(one.contributions, other.contributions)
        and all(np.array_equal(a.heat_map, b.heat_map) for a, b in zip(one.rows, other.rows, strict=True))
    )


def _asked_together(bank: lt.Bank, n: int, *, training: bool = False, calls: str = "explain") -> None:
    images = digits(N)
    call = getattr(bank, calls)
    alone = [call(images[index]) for index in range(N)]
    bank.model.network.train(training)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: call(images[index % N]), range(n)))
    right = sum(_same(why, alone[index % N]) for index, why in enumerate(together))
    expect(right, n, f"right of {n}")
    expect({module.training for module in bank.model.network.modules()}, {training}, "training flags afterwards")
    bank.model.check_unchanged(fully=True)


def _threads(name: str, make: Callable[[], nn.Module], n: int, **how: Any) -> None:
    @case("threads", name, accepts=RIGHT)
    def _() -> None:
        _asked_together(_fitted(_seeded(make)), n, **how)


_threads("240 explanations in four threads", _digits_network, 240)
_threads("240 in training mode, whose flags and statistics stay", _digits_network, 240, training=True)
_threads("contrasts", _digits_network, 48, calls="contrast")
_threads("a class token", Token, 96)
_threads("a network that keeps its last pass on itself", Keeping, 48)
_threads("the same, in training mode", Keeping, 48, training=True)


@case("threads", "timm's own way of cutting", accepts=RIGHT)
def _() -> None:
    try:
        import timm
    except ImportError as error:
        raise Skip("timm is not installed") from error

    def make() -> nn.Module:
        network: nn.Module = timm.create_model("test_resnet.r160_in1k", pretrained=False, num_classes=5, in_chans=1)
        return network

    images = digits(N)
    model = lt.split(_seeded(make), lt.Preprocess(size=96))  # at 32 its last map is one cell
    expect(model.how, "library", "how it is cut")
    _logits_together(model, images)


def _logits_together(model: lt.SplitModel, images: Tensor) -> None:
    alone = [model(images[index : index + 1]) for index in range(24)]
    model.network.train()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: model(images[index % 24 : index % 24 + 1]), range(96)))
    for index, output in enumerate(together):
        for name in ("feature_map", "pooled", "logits"):
            if not torch.equal(getattr(output, name), getattr(alone[index % 24], name)):
                raise Wrong(f"{name} of another picture")


@case("threads", "a network that is replayed", accepts=RIGHT)
def _() -> None:
    layers = [nn.Conv2d(1, 6, 5, stride=4), nn.Flatten(), nn.Linear(6 * 49, 8), nn.LogSigmoid(), nn.Linear(8, 3)]
    model = lt.split(_seeded(lambda: nn.Sequential(*layers)), lt.Preprocess(size=32))
    expect(model.how, "replay", "how it is cut")
    maps = model.features(digits(N)[:24])
    alone = [model.replay(maps[index : index + 1]) for index in range(24)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda index: model.replay(maps[index % 24 : index % 24 + 1]), range(96)))
    expect(sum(torch.equal(one, alone[index % 24]) for index, one in enumerate(together)), 96, "right of 96")
    _logits_together(model, digits(N))


@case("threads", "two models on one network", accepts=RIGHT)
def _() -> None:
    network = _digits_network()
    models = [lt.split(network, example=digits(N)[:2]) for _ in range(2)]
    alone = [models[0].pooled(digits(N)[index : index + 1]) for index in range(24)]
    network.train()
    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(lambda index: models[index % 2].pooled(digits(N)[index % 24 : index % 24 + 1]), range(96))
        expect(sum(torch.equal(one, alone[index % 24]) for index, one in enumerate(asked)), 96, "right of 96")


@case("threads", "the user's own thread runs the network meanwhile", accepts=RIGHT)
def _() -> None:
    bank = _fitted(_digits_network())
    done = threading.Event()

    def use() -> None:
        with torch.no_grad():
            while not done.is_set():
                bank.model.network(digits(N)[:3])

    other = threading.Thread(target=use)
    alone = [bank.explain(digits(N)[index]) for index in range(24)]
    other.start()
    try:
        right = sum(_same(bank.explain(digits(N)[index]), alone[index]) for index in range(24))
    finally:
        done.set()
        other.join()
    expect(right, 24, "right of 24")


@case("threads", "a split in one thread while another explains", accepts=RIGHT)
def _() -> None:
    bank = _fitted(_digits_network())
    alone = [bank.explain(digits(N)[index]) for index in range(24)]
    with ThreadPoolExecutor(2) as pool:
        splits = [pool.submit(lt.split, bank.model.network, example=digits(N)[:2]) for _ in range(3)]
        right = sum(_same(bank.explain(digits(N)[index]), alone[index]) for index in range(24))
        expect({one.result().fingerprint for one in splits}, {bank.model.fingerprint}, "fingerprints")
    expect(right, 24, "right of 24")


@case("threads", "an error in one thread leaves the others and the flags alone", accepts=RIGHT)
def _() -> None:
    bank = _fitted(_digits_network())
    alone = bank.explain(digits(N)[0])
    bank.model.network.train()

    def ask(index: int) -> bool:
        try:
            return _same(bank.explain(torch.full((1, 32, 32), torch.nan) if index % 3 == 0 else digits(N)[0]), alone)
        except lt.errors.LikethatError:
            return index % 3 == 0

    with ThreadPoolExecutor(4) as pool:
        expect(sum(pool.map(ask, range(60))), 60, "right of 60")
    expect({module.training for module in bank.model.network.modules()}, {True}, "training flags")
