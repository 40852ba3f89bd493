"""What the exemplars' benchmark searches: generators of three kinds, three models for each, and a judge."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from _data import CACHE
from _incomes import incomes
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC
from torch import Tensor, nn

import likethat as lt
from likethat.generators.priors import StandardNormal
from likethat.generators.table.training import train_table
from likethat.options import TableTraining
from likethat.sources.sentences import sentences

MODELS = ("MLP", "SVC", "random forest")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Something to search.

    Attributes:
        name: of the data.
        generator: makes inputs.
        data: real inputs.
        models: predictors by name, trained on one half of the data.
        judge: a classifier of another kind, trained on the other half: inputs to class indices.
        boundaries: pairs of classes whose boundary is looked for.
        n_classes: of the models.
    """

    name: str
    generator: Any
    data: Any
    models: dict[str, Callable[[Any], Any]]
    judge: Callable[[Any], np.ndarray]
    boundaries: tuple[tuple[int, int], ...]
    n_classes: int


class SmallVAE(nn.Module):
    """A VAE of 8 by 8 digits: two hidden layers either way.

    Args:
        dim: length of a latent.
    """

    kind = "image"
    differentiable = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.prior = StandardNormal(dim)
        width = 256
        self.encoder = nn.Sequential(
            nn.Linear(64, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2 * dim)
        )
        self.decoder = nn.Sequential(
            nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 64)
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Return images (n, 1, 8, 8) in [0, 1]."""
        return self.decoder(latents).sigmoid().reshape(-1, 1, 8, 8)

    def loss(self, images: Tensor, rng: torch.Generator, kl_weight: float) -> Tensor:
        """Return the negative evidence bound of images (n, 64), with a weight on the divergence."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        log_variance = log_variance.clamp(-8, 4)
        noise = torch.randn(mean.shape, generator=rng)
        logits = self.decoder(mean + noise * (log_variance / 2).exp())
        missed = nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(1)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        return (missed + kl_weight * divergence).mean()


def small_vae(dim: int, *, kl_weight: float, steps: int = 6000) -> SmallVAE:
    """Return a trained VAE, from the cache where there is one."""
    path = CACHE / f"digits-vae-{dim}-{kl_weight}-{steps}.pt"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmallVAE(dim)
    if path.exists():
        network.load_state_dict(torch.load(path, weights_only=True))
        return network.eval().requires_grad_(False)
    images = torch.tensor(load_digits().data / 16, dtype=torch.float32)
    rng = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, 3e-3, total_steps=steps)
    for _ in range(steps):
        loss = network.loss(images[torch.randint(len(images), (128,), generator=rng)], rng, kl_weight)
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), path)
    return network.eval().requires_grad_(False)


def predictors(seed: int = 0) -> dict[str, Any]:
    """Return the three kinds of model, untrained."""
    return {
        "MLP": MLPClassifier((128,), max_iter=400, random_state=seed),
        "SVC": CalibratedClassifierCV(SVC(C=5, random_state=seed), ensemble=False),
        "random forest": RandomForestClassifier(200, random_state=seed),
    }


def digits_case(name: str, dim: int, kl_weight: float) -> Case:
    """Return scikit-learn's digits under a VAE of some latent dimension."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    first, second, first_labels, second_labels = train_test_split(
        pixels, labels, test_size=0.5, stratify=labels, random_state=0
    )
    models = {key: model.fit(first, first_labels) for key, model in predictors().items()}
    judge = ExtraTreesClassifier(300, random_state=1).fit(second, second_labels)
    pairs = tuple((a, b) for a in range(10) for b in range(a))
    return Case(
        name=name,
        generator=small_vae(dim, kl_weight=kl_weight),
        data=torch.from_numpy(pixels).reshape(-1, 1, 8, 8),
        models={key: _flat(model) for key, model in models.items()},
        judge=lambda images: judge.predict(images.flatten(1).numpy()),
        boundaries=pairs,
        n_classes=10,
    )


def _flat(model: Any) -> Callable[[Tensor], np.ndarray]:
    return lambda images: model.predict_proba(images.flatten(1).numpy().astype(np.float32))


def table_case(name: str, frame: Any, labels: np.ndarray, *, epochs: int | None = None) -> Case:
    """Return a table under a table VAE, and models that are pipelines of the whole table."""
    first, second, first_labels, second_labels = train_test_split(
        frame, labels, test_size=0.5, stratify=labels, random_state=0
    )

    def prepared(model: Any) -> Any:
        columns = make_column_transformer(
            (StandardScaler(), make_column_selector(dtype_include="number")),
            (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
        )
        return make_pipeline(columns, model)

    models = {key: prepared(model).fit(first, first_labels) for key, model in predictors().items()}
    judge = prepared(ExtraTreesClassifier(300, random_state=1)).fit(second, second_labels)
    n_classes = len(np.unique(labels))
    return Case(
        name=name,
        generator=train_table(frame, TableTraining(epochs=epochs, seed=0)),
        data=frame,
        models={key: model.predict_proba for key, model in models.items()},
        judge=judge.predict,
        boundaries=tuple((a, b) for a in range(n_classes) for b in range(a)),
        n_classes=n_classes,
    )


def zoo_digits_case(name: str) -> Case:
    """Return the digits of 32 by 32 pixels under the generator that comes with the library."""
    train, test = lt.digits(split="train"), lt.digits(split="test")
    images = torch.stack([train[place].image for place in range(len(train))])
    labels = np.array([train[place].label for place in range(len(train))])
    half = len(images) // 2
    flat = images.flatten(1).numpy()
    models: dict[str, Any] = {key: model.fit(flat[:half], labels[:half]) for key, model in predictors().items()}
    judge = ExtraTreesClassifier(300, random_state=1).fit(flat[half:], labels[half:])
    return Case(
        name=name,
        generator=lt.load_generator("zoo:digits"),
        data=torch.stack([test[place].image for place in range(len(test))]),
        models={key: _flat(model) for key, model in models.items()},
        judge=lambda made: judge.predict(made.flatten(1).numpy()),
        boundaries=tuple((a, b) for a in range(10) for b in range(a)),
        n_classes=10,
    )


def text_case(name: str) -> Case:
    """Return drawn sentences under a text VAE, and models that count words."""
    texts, labels = sentences(3000, seed=0)
    first, second, first_labels, second_labels = train_test_split(
        texts, np.asarray(labels), test_size=0.5, stratify=labels, random_state=0
    )

    def prepared(model: Any) -> Any:
        return make_pipeline(CountVectorizer(binary=True, ngram_range=(1, 2), min_df=3), model)

    folder = CACHE / "sentences-vae"
    if not folder.exists():
        lt.train_generator(list(texts), kind="text", seed=0).save(folder)
    models = {key: prepared(model).fit(first, first_labels) for key, model in predictors().items()}
    judge = prepared(ExtraTreesClassifier(300, random_state=1)).fit(second, second_labels)
    n_classes = len(np.unique(labels))
    return Case(
        name=name,
        generator=lt.load_generator(folder),
        data=list(texts)[:1000],
        models={key: model.predict_proba for key, model in models.items()},
        judge=judge.predict,
        boundaries=tuple((a, b) for a in range(n_classes) for b in range(a)),
        n_classes=n_classes,
    )


def _bunch(load: Callable[..., Any]) -> tuple[Any, np.ndarray]:
    data = load(as_frame=True)
    return data.data, data.target.to_numpy()


MAKERS: dict[str, Callable[[str], Case]] = {
    "digits": lambda name: digits_case(name, 16, 1.0),
    "digits, zoo": zoo_digits_case,
    "digits, 128 latents": lambda name: digits_case(name, 128, 0.1),
    "breast-cancer": lambda name: table_case(name, *_bunch(load_breast_cancer)),
    "wine": lambda name: table_case(name, *_bunch(load_wine)),
    "incomes": lambda name: table_case(name, *incomes(1500)),
    "sentences": text_case,
}
CASES = tuple(MAKERS)


@cache
def case(name: str) -> Case:
    """Return a case by name."""
    return MAKERS[name](name)
