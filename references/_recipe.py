"""What a reference model is made of, as its recipe says."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Study:
    """Labelled cells.

    Attributes
    ----------
    name, group
        Of these cells; and of the study, donors or publication whose cells are left out together.
    labels
        Label to id of the Cell Ontology, of every label that these cells have; `""` leaves cells out. Cells of a query
        of the Census have ids already, and need no map.
    labels_key
        Column of `.obs`.
    source, license
        Where they are from, and under which licence.
    file, dataset, census
        Where they are: a file of the folder of data, a function of `scmpt_scverse.datasets`, or a query of the
        CELLxGENE Census (`organism`, `value_filter`, `max_cells_per_label`). One of them.
    platform, values
        For people.
    report_by
        Column of `.obs`: metrics are given for each of its values, too.
    in_text_model
        Name of the study by which `scmmgpt-mini` learned the labels of these cells, if it did.
    """

    name: str
    group: str
    labels_key: str
    source: str
    license: str
    labels: Mapping[str, str] = field(default_factory=dict)
    file: str | None = None
    dataset: str | None = None
    census: Mapping[str, Any] | None = None
    platform: str = ""
    values: str = ""
    report_by: str | None = None
    in_text_model: str | None = None

    def __post_init__(self) -> None:
        places = [place for place in ("file", "dataset", "census") if getattr(self, place) is not None]
        if len(places) != 1:
            raise ValueError(
                f"The study {self.name!r} needs one of `file`, `dataset` and `census`; found {places}. See Study."
            )
        if self.census is None and not self.labels:
            raise ValueError(f"The study {self.name!r} needs `labels`: each of its labels, with a Cell Ontology id.")


@dataclass(frozen=True)
class Level:
    """What may be claimed: ids of the Cell Ontology."""

    name: str
    types: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """A reference model.

    Attributes
    ----------
    name, title, organism, license
        Of the model; the licence as the hub calls it.
    least_macro_f1
        Mean over left-out studies that a level has to reach.
    least_studies
        So many groups of studies have each type that is claimed.
    hidden
        Id of a type that is left out of training in turn.
    training
        Options of `SCMPT.train`.
    candidates
        Name to encoders of `SCMPT`.
    levels
        The finest first.
    studies, elsewhere
        What is learned from; and what is only judged.
    """

    name: str
    title: str
    organism: str
    license: str
    least_macro_f1: float
    least_studies: int
    hidden: str
    training: Mapping[str, Any]
    candidates: Mapping[str, Mapping[str, Any]]
    levels: tuple[Level, ...]
    studies: tuple[Study, ...]
    elsewhere: tuple[Study, ...] = ()

    @classmethod
    def read(cls, name: str, folder: Path = FOLDER) -> Self:
        """The recipe of that name.

        Raises
        ------
        FileNotFoundError
            There is none.
        ValueError
            It is no TOML, or lacks something.
        """
        path = folder / f"{name}.toml"
        if not path.is_file():
            known = sorted(each.stem for each in folder.glob("*.toml"))
            raise FileNotFoundError(f"Expected a recipe, one of {', '.join(known)}; found {name!r}. Check the name.")
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        try:
            given["levels"] = tuple(Level(each["name"], tuple(each["types"])) for each in given["levels"])
            for kind in ("studies", "elsewhere"):
                given[kind] = tuple(Study(**each) for each in given.get(kind, ()))
            return cls(**given)
        except (KeyError, TypeError) as error:
            raise ValueError(f"The recipe {path.name} is not complete ({error}). See the class Recipe.") from error

    @property
    def groups(self) -> tuple[str, ...]:
        """What is left out together, in the order of the recipe."""
        return tuple(dict.fromkeys(study.group for study in self.studies))
