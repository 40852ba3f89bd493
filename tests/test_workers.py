"""Work that is split over workers gives the serial bytes, whatever becomes of them."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from painted import Painted, prodg
from toys import pictures, same_files, small_cnn

import likethat as lt
from likethat._progress import Progress
from likethat._workers import Cluster, as_workers
from likethat.errors import InputError
from likethat.features import Features, collect
from likethat.sources import Sample, as_source

N = 150  # four chunks and a part of one
STRANGE = 77  # the network gives NaN for it
MISSING = (5, 40, 41, 149)  # do not decode


class Counted(torch.nn.Module):
    """Notes which images pass through it, told by their first number, and dies once at one of them."""

    def __init__(self, place: Path, dies_at: int = -1) -> None:
        super().__init__()
        self.place, self.dies_at, self.is_counting = place, dies_at, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.is_counting:
            marks = (x[:, 0, 0, 0] * 1000).round().int().tolist()
            with (self.place / "passed").open("a") as file:
                file.write("".join(f"{mark}\n" for mark in set(marks)))
            if self.dies_at in marks and not (self.place / "died").exists():
                (self.place / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            x = torch.where((x[:, :1, :1, :1] * 1000).round() == STRANGE, torch.nan, x)
        return x


class Marked:
    """Images whose first number is their own; some do not decode, and one kills who reads it, once."""

    class_names = ("a", "b")

    def __init__(self, place: Path, kills_at: int = -1) -> None:
        self.images, self.place, self.kills_at = pictures(N), place, kills_at
        self.images[:, 0, 0, 0] = torch.arange(N) / 1000

    @property
    def signature(self) -> dict[str, Any]:
        return {"number": N}

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Sample:
        if index == self.kills_at and not (self.place / "read").exists():
            (self.place / "read").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if index in MISSING:
            raise lt.errors.UnreadableImageError(f"image {index} is cut short.")
        image = self.images[index]
        return Sample(image=image, name=f"image {index}", label=index % 2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Give two Ray nodes in one machine, a worker each."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'likethat[ray]'")
    import ray
    from ray.cluster_utils import Cluster as Nodes

    torch.set_num_threads(1)
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="error")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def model_of(place: Path, dies_at: int = -1) -> tuple[lt.SplitModel, Counted]:
    counted = Counted(place, dies_at)
    network = torch.nn.Sequential(counted, *small_cnn()).eval()
    model = lt.split(network, example=pictures(4))
    counted.is_counting = True
    return model, counted


def differing(first: Features, second: Features) -> list[str]:
    """Name what two passes do not have in common."""
    tensors = ("means", "pooled", "predicted", "labels", "indices", "kept", "maps", "views", "facts")
    values = ("names", "label_names", "grid", "skipped", "data", "remarks", "notes", "warning")
    found = [name for name in tensors if not torch.equal(getattr(first, name), getattr(second, name))]
    return found + [name for name in values if getattr(first, name) != getattr(second, name)]


def passed(place: Path) -> Counter[str]:
    found = Counter((place / "passed").read_text().split())
    (place / "passed").unlink()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("budget", "dies_at"), [(2**31, -1), (2**16, 70)])
def test_workers_give_the_serial_bytes(cluster: Any, tmp_path: Path, dies_at: int, budget: int) -> None:
    model, _ = model_of(tmp_path)
    alone = collect(model, Marked(tmp_path), memory_budget=budget)
    assert [item.name for item in alone.skipped] == ["image 5", "image 40", "image 41", "image 77", "image 149"]
    once = passed(tmp_path)
    assert set(once.values()) == {1}
    killed, _ = model_of(tmp_path, dies_at)
    found = collect(killed, Marked(tmp_path, kills_at=dies_at), memory_budget=budget, workers="ray")
    assert differing(found, alone) == []
    assert (tmp_path / "died").exists() == (tmp_path / "read").exists() == (dies_at >= 0)
    again = passed(tmp_path)
    assert again.keys() == once.keys()
    assert max(again.values()) == (1 if dies_at < 0 else 2)


@pytest.mark.slow
def test_a_pass_in_workers_goes_on_where_it_was_stopped(cluster: Any, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.done >= 64:
            raise KeyboardInterrupt

    model, _ = model_of(tmp_path)
    lt.EPIC(2).fit(model, Marked(tmp_path)).save(tmp_path / "alone")
    passed(tmp_path)
    reading = {"checkpoint": tmp_path / "left", "checkpoint_every": 0.01, "workers": "ray:1"}
    with pytest.raises(KeyboardInterrupt):
        lt.EPIC(2).fit(model, Marked(tmp_path), watch=stop, **reading)
    lt.EPIC(2).fit(model, Marked(tmp_path), resume=True, **reading).save(tmp_path / "again")
    assert same_files(tmp_path / "alone", tmp_path / "again")
    assert max(passed(tmp_path).values()) <= 2


@pytest.mark.slow
def test_a_stream_is_read_here_and_passed_by_others(cluster: Any, tmp_path: Path) -> None:
    model, _ = model_of(tmp_path)
    alone = collect(model, as_source(iter(pictures(70))))
    assert differing(collect(model, as_source(iter(pictures(70))), workers="ray"), alone) == []


@pytest.mark.slow
def test_what_the_work_raises_is_raised_here(cluster: Any, tmp_path: Path) -> None:
    images = [torch.rand(3, 16, 16, dtype=torch.float32), torch.rand(3, 20, 16, dtype=torch.float32)]
    model, _ = model_of(tmp_path)
    with pytest.raises(InputError, match="one size"):
        collect(model, as_source(images), workers="ray")


class Deadly(Painted):
    """Kills the worker that makes its first images without a gradient, and the one that makes its first with one."""

    def __init__(self, place: Path) -> None:
        self.place, self.driver = place, os.getpid()

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        mark = self.place / f"died with gradient {latents.requires_grad}"
        if os.getpid() != self.driver and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(latents)


@pytest.mark.slow
def test_channels_climb_in_workers_to_the_serial_bank(cluster: Any, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "climbing" and progress.done >= 30:
            raise KeyboardInterrupt

    model = lt.split(small_cnn(), example=pictures(4))
    method = prodg(generator=Deadly(tmp_path), controls=True, steps=2)
    method.fit(model).save(tmp_path / "alone")
    reading: dict[str, Any] = {"checkpoint": tmp_path / "left", "checkpoint_every": 0.01, "workers": "ray"}
    with pytest.raises(KeyboardInterrupt):
        method.fit(model, watch=stop, **reading)
    seen: list[Progress] = []
    method.fit(model, resume=True, watch=seen.append, **reading).save(tmp_path / "again")
    assert same_files(tmp_path / "alone", tmp_path / "again")
    assert len([*tmp_path.glob("died*")]) == 2
    climbing = [item.done for item in seen if item.stage == "climbing"]
    assert climbing[0] > 27  # what was done is not done again: a group is nine images in three steps
    assert climbing[-1] == 16 * 3 * 3
    with pytest.raises(
        InputError, match="`workers` must be 0, or such as 'ray:2', where no image is decoded ahead, got 2"
    ):
        method.fit(model, workers=2)


class Dying(torch.nn.Module):
    """Passes images on, and kills the first worker that asks it."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self.place, self.driver = place, os.getpid()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if os.getpid() != self.driver and not (self.place / "died asked").exists():
            (self.place / "died asked").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return images


def told_of(found: Any) -> list[dict[str, Any]]:
    return [{name: value for name, value in one.to_dict().items() if name != "seconds"} for one in found]


@pytest.mark.slow
def test_many_inputs_are_explained_in_workers_as_here(cluster: Any, tmp_path: Path) -> None:
    network = torch.nn.Sequential(Dying(tmp_path), *small_cnn()).eval()
    model = lt.split(network, example=pictures(4))
    sources = pictures(20)
    alone = lt.explain_all(lt.BlackBox(model), sources, budget=40)
    box = lt.BlackBox(model)
    found = lt.explain_all(box, sources, budget=40, workers="ray")
    together = lt.explain_all(lt.BlackBox(model), sources, budget=40, at_once=3)
    assert told_of(found) == told_of(alone) == told_of(together)
    assert (tmp_path / "died asked").exists()
    for one, other in zip(found, alone, strict=True):
        assert one.heat_map.tobytes() == other.heat_map.tobytes()  # type: ignore[union-attr]
    assert 20 * 30 < box.queries <= 20 * 40  # of which some serve several inputs
    bank = lt.EPIC(2).fit(model, sources)
    by_bank = lt.explain_all(bank, sources, top=2, workers="ray:1")
    assert told_of(by_bank) == told_of(lt.explain_all(bank, sources, top=2))


@pytest.mark.slow
def test_changes_of_rows_are_searched_in_workers_as_here(cluster: Any, tmp_path: Path) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs likethat[tables]")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 5)), columns=list("abcde"))
    model = linear_model.LogisticRegression().fit(frame, (frame["a"] + frame["b"] > 0).astype(int))
    made = lt.train_generator(frame, kind="table", epochs=2, quality=False)
    how: dict[str, Any] = {"method": lt.FreeMCG(made, seed=0).counterfactual, "budget": 60}
    alone = lt.explain_all(model, frame[:20], **how)
    again = lt.explain_all(model, frame[:20], into=tmp_path / "there", workers="ray", **how)
    assert alone.rows == again.rows
    assert told_of(again) == told_of(alone)


@pytest.mark.parametrize(
    ("options", "binds"), [({"budget": 90}, "a budget"), ({"cache": "answers", "key": "k"}, "a cache")]
)
def test_a_model_that_is_bound_to_this_process_is_not_sent(
    options: dict[str, Any], binds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Cluster, "connected", lambda _: nullcontext())
    box = lt.BlackBox(lambda rows: np.full((len(rows), 2), 0.5), class_names=["a", "b"], **options)
    with pytest.raises(InputError, match=f"`workers` must be 0 for a model with {binds}, .* got 'ray:2'"):
        lt.explain_all(box, pictures(2), workers="ray:2")


@pytest.mark.parametrize(
    ("text", "named", "address"),
    [
        ("ray:2", None, "local"),
        ("ray:2", "head:6379", "head:6379"),
        ("ray://head:10001", "other:1", "ray://head:10001"),
    ],
)
def test_no_cluster_is_joined_that_nobody_named(
    text: str, named: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setenv("RAY_ADDRESS", named) if named else monkeypatch.delenv("RAY_ADDRESS", raising=False)
    cluster = as_workers(text)
    assert isinstance(cluster, Cluster)
    cluster._connect(SimpleNamespace(init=lambda **given: told.update(given)), 1.0)
    assert told["address"] == address
    assert ("num_cpus" in told) == (address == "local")


@pytest.mark.parametrize("text", ["ray:0", "rays", "ray://host", "ray gpu", "ray cpu=1.2.3", "", "-1", "ray:2:3"])
def test_texts_that_name_no_workers(text: str) -> None:
    with pytest.raises(InputError, match="`workers` must be"):
        as_workers(text)


@pytest.mark.parametrize("text", ["ray", "ray:2", "ray://head:10001", "ray:2 cpu=2 gpu=0.5 tpu=1"])
def test_texts_that_name_workers_are_said_again(text: str) -> None:
    found = as_workers(text)
    assert isinstance(found, Cluster)
    assert found.in_words() == text
    assert as_workers("4", name="--workers") == 4
    with pytest.raises(InputError, match="`workers` must be"):
        as_workers("4")
