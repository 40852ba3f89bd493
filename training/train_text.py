"""Train a generator of the drawn reviews from a seed, and say how good it is.

    python training/train_text.py reviews/

A few minutes on one core. With --texts FILE it learns your own texts, one a line, and only counts how many come
back.
"""

import argparse
from pathlib import Path

from rich.progress import Progress as Bar

from likethat._progress import Progress
from likethat.generators import sample
from likethat.generators.text.files import read_texts
from likethat.generators.text.generator import TextVAE
from likethat.generators.text.training import train_text
from likethat.options import TextTraining
from likethat.sources.sentences import read_sentence, sentences


def measure_returning(generator: TextVAE, texts: list[str]) -> dict[str, float]:
    """Return which share of texts, and of their words, come back from their latent."""
    returned = generator(generator.encode(texts))
    words = [
        len(set(a.split()) & set(b.split())) / max(1, len(set(b.split()))) for a, b in zip(returned, texts, strict=True)
    ]
    exact = [a == b for a, b in zip(returned, texts, strict=True)]
    return {"returned": sum(exact) / len(exact), "words returned": sum(words) / len(words)}


def measure_grammar(generator: TextVAE, learned: list[str], held_out: list[str]) -> dict[str, float]:
    """Return what the grammar, which is the oracle here, says of texts from the prior and of returned ones."""
    made = sample(generator, 1000)
    returned = generator(generator.encode(held_out))
    known = set(learned)
    same = [read_sentence(a) == read_sentence(b) for a, b in zip(returned, held_out, strict=True)]
    return {
        "grammatical": sum(read_sentence(text) is not None for text in made) / len(made),
        "new": sum(text not in known for text in made) / len(made),
        "different": len(set(made)) / len(made),
        "topic and sentiment kept": sum(same) / len(same),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    learned = sentences(options.n, seed=options.seed)[0]
    held_out = sentences(500, seed=options.seed + 1_000_000)[0]
    if options.texts:
        texts = read_texts(options.texts)
        learned, held_out = texts[: -len(texts) // 10], texts[-len(texts) // 10 :]
    with Bar() as bar:
        task = bar.add_task("training")

        def watch(report: Progress) -> None:
            bar.update(task, completed=report.done, total=report.total)

        generator = train_text(learned, TextTraining(seed=options.seed), watch=watch)
    figures = measure_returning(generator, held_out)
    if not options.texts:
        figures |= measure_grammar(generator, learned, held_out)
    generator.card |= {name: round(value, 3) for name, value in figures.items()}
    generator.save(options.out)
    for name, value in generator.card.items():
        print(f"{name}: {value}")
    for text in sample(generator, 12):
        print(f"  {text}")


if __name__ == "__main__":
    main()
