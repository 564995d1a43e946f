"""Build a reference model from its recipe: `make reference NAME=blood REFERENCE_ARGS="--data FOLDER"`.

Everything is judged on studies that were left out: each group of studies once, while modalities, level, temperature and
limits are chosen on the others alone. Then a model of all studies is made in the same way, and written with a card.
`--dry-run` lists what a recipe would read or fetch, and reads nothing.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from _recipe import Recipe, Study

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))  # text models of which a study is no part
RESULTS = ROOT / "benchmarks" / "results" / "references.json"


def main() -> None:
    """Build, or list what would be read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of a recipe: the name of a .toml file beside this script")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with the files of the recipe")
    parser.add_argument("--out", type=Path, help="folder of the model; by default, references/built/NAME")
    parser.add_argument("--text-models", type=Path, default=Path("text_models"), help="made where they are missing")
    parser.add_argument("--dry-run", action="store_true", help="list what would be read")
    arguments = parser.parse_args()
    recipe = Recipe.read(arguments.name)
    if arguments.dry_run:
        print(plan(recipe))
        return
    build(recipe, arguments.data, arguments.text_models, arguments.out or ROOT / "references" / "built" / recipe.name)


def plan(recipe: Recipe) -> str:
    """What a recipe would read, in words."""
    lines = [f"{recipe.name}: {recipe.title} ({recipe.organism})"]
    for study in (*recipe.studies, *recipe.elsewhere):
        role = "learned from" if study in recipe.studies else "judged only"
        lines.append(f"  {study.name} ({role}; left out with {study.group}): {_place(study)}")
        lines.append(f"    {study.source}; {study.license}")
    lines += [f"  level: {level.name}: {', '.join(level.types)}" for level in recipe.levels]
    lines += [f"  modalities: {name}" for name in recipe.candidates]
    return "\n".join(lines)


def _place(study: Study) -> str:
    if study.census is not None:
        return "CELLxGENE Census: " + ", ".join(f"{key}={value!r}" for key, value in study.census.items())
    return f"scmpt_scverse.datasets.{study.dataset}()" if study.file is None else f"file {study.file}"


def build(recipe: Recipe, data: Path, text_models: Path, out: Path) -> None:
    """Judge, train on all studies, and write model, card and results."""
    from _card import write_model
    from _cells import read_study
    from _judge import elsewhere, judged, summary
    from _left_out import chosen

    warnings.simplefilter("ignore")
    studies = {study.name: read_study(study, data) for study in (*recipe.studies, *recipe.elsewhere)}
    without = _without(recipe, data, text_models)
    records = judged(recipe, studies, data, without, _say)
    trained = chosen(recipe, [studies[study.name] for study in recipe.studies], without, log=_say)
    results: dict[str, Any] = {
        "title": recipe.title,
        "least_macro_f1": recipe.least_macro_f1,
        "candidate": trained.design.candidate,
        "level": trained.design.level.name,
        "types": list(trained.model.labels),
        "min_confidence": trained.model.min_confidence,
        "max_novelty": trained.model.max_novelty,
        "left_out": records,
        "summary": summary(records),
        "elsewhere": [elsewhere(trained, study, studies[study.name]) for study in recipe.elsewhere],
        "choice": trained.scores.to_dict("records"),
    }
    results["n_bytes"] = write_model(recipe, trained, results, out)
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    RESULTS.write_text(json.dumps({**stored, recipe.name: results}, indent=1) + "\n")
    _say(f"{out}: {results['n_bytes'] / 1e6:.2f} MB; mean macro F1 {results['summary']['macro_f1']:.3f}")


def _without(recipe: Recipe, data: Path, text_models: Path) -> Any:
    """Encoders that have not learned the labels of a group of studies."""
    from _few_shot_models import text_model_without

    from scmpt_scverse import encoders

    learned = {study.group: study.in_text_model for study in recipe.studies if study.in_text_model is not None}

    @cache
    def knowledge(study: str | None) -> Any:  # once: its profiles take seconds
        options = {} if study is None else {"model": text_model_without(study, data, text_models)}
        return encoders.get("knowledge", **options)

    def without(given: Mapping[str, Any], group: str | None) -> Mapping[str, Any]:
        if group is None:  # the model that is saved, which names its encoders
            return given
        found = {name: knowledge(learned.get(group)) for name, encoder in given.items() if encoder == "knowledge"}
        return {**given, **found}

    return without


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
