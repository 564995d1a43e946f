import base64
import json
import re
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scmpt_scverse import datasets

MISSING_BYTE = 255


@dataclass
class Page:
    """A written page, read without the code that wrote it."""

    html: str
    data: dict[str, Any]
    text: str
    tags: list[tuple[str, dict[str, str | None]]]

    @classmethod
    def read(cls, path: Path) -> "Page":
        html = path.read_text(encoding="utf-8")
        reader = _Reader()
        reader.feed(html)
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
        data = json.loads(found[1]) if found else {"n": 0}
        return cls(html, data, " ".join(" ".join(reader.texts).split()), reader.tags)

    def unpacked(self, text: str, dtype: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=dtype)

    def labels(self, name: str = "prediction") -> list[str]:
        """The label of each drawn cell."""
        labelling = next(each for each in self.data["labellings"] if each["id"] == name)
        return [labelling["labels"][code] for code in self.unpacked(labelling["codes"], "<u2")]

    def score(self, name: str) -> np.ndarray[Any, Any]:
        """A score of each drawn cell, NaN where it is missing."""
        found = next(each for each in self.data["scores"] if each["id"] == name)
        values = self.unpacked(found["values"], "u1")
        return np.where(values == MISSING_BYTE, np.nan, values / 254)

    def gene(self, name: str) -> np.ndarray[Any, Any]:
        """The expression of a gene in each drawn cell."""
        found = next(each for each in self.data["genes"] if each["name"] == name)
        return self.unpacked(found["values"], "u1") / 254 * found["largest"]

    @property
    def names(self) -> list[str]:
        """The names of the drawn cells."""
        return zlib.decompress(base64.b64decode(self.data["names"])).decode().split("\n")

    def card(self, label: str) -> str:
        """The text of a card."""
        for part in self.html.split("<article")[1:]:
            reader = _Reader()
            reader.feed("<article" + part.split("</article>")[0])
            if " ".join(reader.heading.split()) == label:
                return " ".join(" ".join(reader.texts).split())
        raise KeyError(label)

    @property
    def cards(self) -> list[str]:
        """The labels of the cards, in order."""
        return [re.sub(r"\s+", " ", found) for found in re.findall(r"<h3>(.*?)</h3>", self.html, re.DOTALL)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.heading, self._in = "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in not in {"script", "style"}:
            self.texts.append(data)
        if self._in == "h3":
            self.heading += data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


@pytest.fixture
def cells() -> AnnData:
    """Real cells, their predictions true labels of which some are changed, with probabilities."""
    adata = datasets.pbmc68k_reduced()
    rng = np.random.default_rng(0)
    labels = list(adata.obs["bulk_labels"].cat.categories)
    probabilities = rng.dirichlet(np.full(len(labels), 0.3), adata.n_obs) * 0.5
    probabilities[np.arange(adata.n_obs), adata.obs["bulk_labels"].cat.codes] += 0.5
    probabilities[:40] = rng.dirichlet(np.full(len(labels), 0.5), 40)
    predicted = probabilities.argmax(axis=1)
    adata.obs["scmpt_prediction"] = pd.Categorical.from_codes(predicted, labels)
    adata.obs["scmpt_confidence"] = probabilities.max(axis=1)
    adata.obs["scmpt_novelty"] = rng.uniform(size=adata.n_obs)
    adata.obsm["scmpt_probabilities"] = pd.DataFrame(probabilities, adata.obs_names, labels)
    return adata
