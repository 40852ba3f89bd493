"""What a run of ProDG has before it, by hand."""

import likethat as lt
from likethat._progress import Progress
from likethat.explainers.prodg.work import Stages, Work, resized_or_turned


def test_the_outlook_by_hand() -> None:
    work = Work(samples=1000, climbing=780, compared=780, plain=780, price=2.0)
    # 900 samples are left in 9 s, .01 s each: 9 + .01 * (2 * 1560 + 780) = 48 s
    assert round(work.seconds(9.0, n_left=900), 6) == 48.0
    assert work.parts(n_left=900) == "900 samples, 780 images on the way up, 1,560 for the controls"
    maker = lt.load_generator("zoo:digits")
    alone = Work.of(lt.ProDG(maker, n_prototypes=5, steps=12, controls=False), n_channels=12)
    assert (alone.climbing, alone.compared, alone.plain) == (780, 0, 0)
    assert alone.parts(n_left=7) == "7 samples, 780 images on the way up"
    assert Work.of(lt.ProDG(maker, steps=0), n_channels=12).climbing == 0
    many = Work.of(lt.ProDG(maker, n_prototypes=5, steps=12), n_channels=100)
    assert (many.climbing, many.compared, many.plain) == (100 * 65, 16 * 65, 100 * 65)  # of random weights sixteen
    assert many.price == 2.0
    assert Work.of(lt.ProDG(maker, algorithm="evolution"), n_channels=1).price == 1.0


def test_passes_are_called_by_what_they_make() -> None:
    seen: list[Progress] = []
    watch = Stages(seen.append)
    for stage in ("reading images", "climbing", "reading images"):
        watch(Progress(stage=stage, done=1))
    assert [report.stage for report in seen] == ["making samples", "climbing", "making the prototypes again"]


def test_what_becomes_of_images_of_another_shape() -> None:
    model, maker = lt.load("zoo:digits"), lt.load_generator("zoo:creatures")
    assert resized_or_turned(lt.load_generator("zoo:digits"), model) == ""
    assert resized_or_turned(maker, model) == "resized and turned from 3 channels into 1"
    assert resized_or_turned(lambda latents: latents, model) == ""
