"""Work that splits: block after block in this process, or in many processes by Ray; results come in the blocks' order.

Blocks are fixed by the data, never by the number of workers, and who asks folds their results in the order that they
were given in: so what comes out is the same to the byte, whoever did which block, and however often.
"""

import os
import re
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias
from uuid import uuid4

import torch
from torch import Tensor

from likethat._calls import warn
from likethat._checks import check_count, require
from likethat._options import shown
from likethat.errors import InputError, LikethatError

Work = Callable[[Any, Any], tuple[Any, Any]]
"""What is done to a block: (shared, block) -> (told, held). What is held travels when it is read."""
Each: TypeAlias = Callable[[Callable[[Any, Any], Any], Iterable[Any]], Iterator[Any]]
"""Does work, of what is shared and a block, on every block; yields what comes of it, in the order of the blocks."""

_TEXT = re.compile(r"ray(?P<address>://[^\s/]+:\d+)?(?::(?P<count>[1-9]\d{0,4}))?(?P<resources>(\s+[\w.-]+=[\d.]+)*)")
_RETRIES = 3  # of a block whose worker was lost: Ray's own default; a block that kills four workers will kill the fifth
_AHEAD = 2  # blocks on their way for each worker: one is worked on, one waits for it

_here: dict[str, Any] = {}
"""In a worker: what the blocks of one piece of work share, read once a process."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Workers that Ray runs, as the text of ``workers=`` asks for them.

    Attributes:
        address: of a cluster that runs already, as Ray takes it; None for one that is connected, that ``RAY_ADDRESS``
            names, or that is begun on this machine.
        count: workers at once; None for as many as there is room for.
        resources: what a worker asks for, by Ray's names; ``cpu`` and ``gpu`` for processors and cards.
    """

    address: str | None = None
    count: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    @contextmanager
    def opened(self, shared: Any, *, needs_gpu: bool = False) -> Iterator["Crew"]:
        """Connect, hand out what all blocks share, and leave the cluster as it was found.

        Args:
            shared: given to each piece of work beside its block; pickled once, read once a worker.
            needs_gpu: the work runs on a card.

        Raises:
            MissingExtraError: Ray is not installed.
            InputError: what is shared cannot be sent, or no cluster is at the address.
        """
        settings = Settings.of_this_process()
        with self.connected() as ray:
            crew = Crew(ray, self, sent=_sent(ray, shared), settings=settings, cpus=self._cpus, needs_gpu=needs_gpu)
            try:
                yield crew
            finally:
                crew.cancel()

    @property
    def _cpus(self) -> float:
        """Processors that a worker asks for: as many as it computes with threads."""
        return self.resources.get("cpu", float(torch.get_num_threads()))

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """Give Ray, connected; disconnected afterwards where it was not connected before.

        Raises:
            MissingExtraError: Ray is not installed.
            InputError: no cluster is at the address.
        """
        ray: Any = require("ray", purpose=f"workers={self.in_words()!r}")
        is_ours = not ray.is_initialized()
        if is_ours:
            self._connect(ray, self._cpus)
        try:
            yield ray
        finally:
            if is_ours:
                ray.shutdown()

    def _connect(self, ray: Any, cpus: float) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody asked that anything be reported
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of what it will change
        address = self.address or os.environ.get("RAY_ADDRESS")
        own = {"include_dashboard": False}
        if self.count:
            own["num_cpus"] = max(1, round(self.count * cpus))  # type: ignore[assignment]
        with _own_signals():
            try:
                # "local": else Ray joins whatever cluster of somebody's it finds on this machine
                ray.init(
                    address=address or "local", log_to_driver=False, logging_level="error", **({} if address else own)
                )
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"`workers` must name a Ray cluster that runs, got {self.in_words()!r}, which does not answer "
                    f"({_line(error)}). Check `ray status` there, or give workers='ray' for this machine."
                ) from error

    def in_words(self) -> str:
        """Return the text that says this cluster again."""
        head = (self.address or "ray") + (f":{self.count}" if self.count else "")
        return " ".join([head, *(f"{name}={value:g}" for name, value in self.resources.items())])


def connected(workers: int | Cluster) -> AbstractContextManager[Any]:
    """Stay connected to a cluster over several pieces of work; nothing for work in this process."""
    return workers.connected() if isinstance(workers, Cluster) else nullcontext()


@contextmanager
def spread(workers: int | Cluster, shared: Any, *, on_gpu: bool = False) -> Iterator[Each]:
    """Give what does work on blocks: in this process, or in the workers of a cluster, as `Cluster.opened` hands it out.

    Example:
        >>> with spread(0, 10) as each:
        ...     list(each(lambda shared, block: shared + block, [1, 2]))
        [11, 12]
    """
    if not isinstance(workers, Cluster):
        yield lambda work, blocks: (work(shared, block) for block in blocks)
        return
    with workers.opened(shared, needs_gpu=on_gpu) as crew:
        yield lambda work, blocks: (told for told, _ in crew.map(partial(_told, work), blocks, on_gpu=on_gpu))


def _told(work: Callable[[Any, Any], Any], shared: Any, block: Any) -> tuple[Any, None]:
    """Do work of which nothing is held; runs in a worker."""
    return work(shared, block), None


def as_workers(value: Any, *, name: str = "workers") -> int | Cluster:
    """Return a number of threads that read, or the cluster that a text asks for.

    Raises:
        InputError: something else.

    Example:
        >>> as_workers(2), as_workers("ray:2 gpu=0.5").resources, as_workers("ray://head:10001").address
        (2, {'gpu': 0.5}, 'ray://head:10001')
    """
    if isinstance(value, Cluster):
        return value
    if name.startswith("-") and isinstance(value, str) and value.strip().isdecimal():
        value = int(value)  # of the command line, where all is text
    if not isinstance(value, str):
        return check_count(value, name=name, minimum=0)
    match = _TEXT.fullmatch(value.strip())
    try:
        resources = {} if match is None else _resources(match["resources"])
    except ValueError:
        match = None
    if match is None:
        raise InputError(
            f"`{name}` must be a number of threads, or 'ray', 'ray:2', 'ray://host:port', each with what a worker "
            f"needs behind it, such as 'ray gpu=0.5', got {shown(value)}."
        )
    address = f"ray{match['address']}" if match["address"] else None
    return Cluster(address=address, count=int(match["count"]) if match["count"] else None, resources=resources)


def as_cluster(value: Any, *, name: str = "workers") -> int | Cluster:
    """Return 0, or the cluster that a text asks for, where threads have nothing to do.

    Raises:
        InputError: something else, a number of threads too.
    """
    found = as_workers(value, name=name)
    if isinstance(found, int) and found:
        raise InputError(f"`{name}` must be 0, or such as 'ray:2', where no image is decoded ahead, got {found}.")
    return found


def _resources(text: str) -> dict[str, float]:
    return {name: float(number) for name, _, number in (word.partition("=") for word in text.split())}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What of torch's settings rounding depends on, and where modules are found, taken to every worker."""

    threads: int
    default: torch.dtype
    matmul: str
    cudnn: tuple[bool, bool, bool]
    paths: tuple[str, ...]

    @classmethod
    def of_this_process(cls) -> "Settings":
        """Note how this process computes."""
        cudnn = torch.backends.cudnn
        return cls(
            threads=torch.get_num_threads(),
            default=torch.get_default_dtype(),
            matmul=torch.get_float32_matmul_precision(),
            cudnn=(cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic),
            paths=tuple(sys.path),
        )

    def apply(self) -> None:
        """Compute as the process that these were noted in."""
        sys.path += [path for path in self.paths if path not in sys.path]
        torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.default)
        torch.set_float32_matmul_precision(self.matmul)
        cudnn = torch.backends.cudnn
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = self.cudnn


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """A large result that stays where it was made until somebody reads it; it may be sent on within a block."""

    reference: Any

    def get(self) -> Any:
        """Return it; made again where it was lost."""
        import ray

        return ray.get(self.reference)


class Crew:
    """Workers that have what the blocks share; made by `Cluster.opened`."""

    def __init__(
        self, ray: Any, cluster: Cluster, *, sent: Any, settings: Settings, cpus: float, needs_gpu: bool
    ) -> None:
        self._ray = ray
        self._needs_gpu = needs_gpu
        self._shared = (uuid4().hex, [sent], settings)  # in a list: Ray would read it for every block
        self._asks = {"num_cpus": cpus}
        own = {name: number for name, number in cluster.resources.items() if name not in ("cpu", "gpu")}
        if own:
            self._asks["resources"] = own  # type: ignore[assignment]
        self._gpus = cluster.resources.get("gpu", 1.0 if needs_gpu else 0.0)
        room = sum(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"])
        largest = max((node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if largest < cpus:
            warn(
                f"No node of the Ray cluster has the {cpus:g} processors that a worker asks for, as this process "
                "computes with as many threads: it waits for one. Lower torch.set_num_threads, which rounding depends "
                "on, or say workers='ray cpu=1'."
            )
        self._at_once = cluster.count or max(1, int(room / max(cpus, 0.01)))
        self._on_their_way: set[Any] = set()

    def map(self, work: Work, blocks: Iterable[Any], *, on_gpu: bool = False) -> Iterator[tuple[Any, Held]]:
        """Do work on each block; yield what was told and what is held, in the order of the blocks.

        A block whose worker is lost is done again by another one. Blocks are asked for as room for them comes up.

        Args:
            work: of what is shared and a block; a function of a module that the workers have.
            blocks: any picklable values.
            on_gpu: the work runs on a card, where the model lies on one.

        Raises:
            LikethatError: what the work itself raises; or a block lost its worker four times.
        """
        asks = {**self._asks, "num_gpus": self._gpus} if on_gpu and self._needs_gpu else self._asks
        remote = self._ray.remote(num_returns=2, max_retries=_RETRIES, **asks)(_one)
        waiting: deque[tuple[Any, Any]] = deque()
        for block in blocks:
            references = tuple(remote.remote(work, self._shared, block))
            waiting.append(references)
            self._on_their_way.add(references[0])
            if len(waiting) >= _AHEAD * self._at_once:
                yield self._done(*waiting.popleft())
        while waiting:
            yield self._done(*waiting.popleft())

    def _done(self, told: Any, held: Any) -> tuple[Any, Held]:
        errors = self._ray.exceptions
        try:
            found = self._ray.get(told)
        except errors.RayTaskError as error:
            if isinstance(error.cause, errors.RayError):
                raise InputError(
                    f"`model` and `images` must be such that workers can read them, got some that they cannot "
                    f"({_line(error.cause)}). Install the modules that they come from where the workers run."
                ) from error
            raise error.cause from None
        except errors.RayError as error:
            raise LikethatError(
                f"a block of the work was lost with its worker {_RETRIES + 1} times ({_line(error)}). Give a worker "
                "more memory, or look into Ray's logs of the node."
            ) from error
        self._on_their_way.discard(told)
        return found, Held(reference=held)

    def cancel(self) -> None:
        """Take back what nobody will read."""
        for told in self._on_their_way:
            self._ray.cancel(told, force=False)
        self._on_their_way.clear()


def _one(work: Work, shared: tuple[str, list[Any], Settings], block: Any) -> tuple[Any, Any]:
    """Do one block; runs in a worker."""
    import ray

    key, (sent,), settings = shared
    if key not in _here:
        settings.apply()
        _here.clear()
        _here[key] = ray.get(sent)
    return work(_here[key], block)


def _sent(ray: Any, shared: Any) -> Any:
    try:
        return ray.put(shared)
    except (TypeError, AttributeError, RuntimeError, ValueError, NotImplementedError) as error:
        raise InputError(
            f"`model` and `images` must be such that they can be sent to workers, got some that cannot: "
            f"{_line(error)}. Leave out locks, open files and handles, or work without Ray: workers=0."
        ) from error


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep what a signal does here: Ray's start sets SIGTERM anew, which would leave no checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def packed(tensor: Tensor) -> Any:
    """Return a tensor of the CPU as what travels without a copy and keeps its order in memory, as rounding asks."""
    if tensor.is_contiguous():
        return tensor.numpy(), False
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).numpy(), True
    return tensor


def unpacked(value: Any) -> Tensor:
    """Return the tensor of `packed`, in memory of its own."""
    if isinstance(value, Tensor):
        return value
    array, is_last = value
    tensor = torch.tensor(array)
    return tensor.permute(0, 3, 1, 2) if is_last else tensor
