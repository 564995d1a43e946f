"""Bring data, encoders, head and method together, and explain cells in batches."""

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from tqdm import tqdm

from scmpt_scverse._checks import list_some, warn_user
from scmpt_scverse._hardware import resolve_device
from scmpt_scverse.attribution import Attributor, curve, total_difference
from scmpt_scverse.encoders import ExpressedGenes, GeneDifferentiable
from scmpt_scverse.explain._gene_forward import ExactForward, GeneForward, SmoothForward
from scmpt_scverse.explain._joined_genes import JoinedGenes
from scmpt_scverse.explain._rankings import CellAttributions
from scmpt_scverse.pp import GeneExpression, looks_like_mouse, nearest_cause

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, IntArray, StrArray
    from scmpt_scverse.modalities import GeneEncoder, Modalities
    from scmpt_scverse.module import FusionClassifier

#: Cells whose curves are computed together.
_CURVE_CELLS = 64


class Explainer:
    """Explains cells of one data set.

    Parameters
    ----------
    classifier
        What gives the logits.
    modalities
        What it reads.
    labels
        Its labels, shape `(n_labels,)`.
    adata
        Cells with expression.
    attributor
        The method; see :class:`scmpt_scverse.attribution.Attributor`.
    device
        Where to compute, `"auto"` for where the classifier is. The classifier stays where it is.

    Attributes
    ----------
    predicted
        The label that the model gives each cell, shape `(n_obs,)`.
    genes
        Whose contributions are found.
    encoders
        Of the modalities that can be traced to genes.
    device
        Where it computes.
    is_readable
        Which cells all encoders can read, shape `(n_obs,)`.

    Raises
    ------
    ValueError
        No modality can be traced to genes, the method needs gradients where an encoder has none, or an encoder knows
        too few of the genes.
    """

    def __init__(
        self,
        classifier: "FusionClassifier",
        modalities: "Modalities",
        labels: "StrArray",
        adata: "AnnData",
        attributor: Attributor,
        *,
        device: str = "auto",
    ) -> None:
        self.attributor, self.labels = attributor, labels
        self.genes = JoinedGenes(modalities, adata)
        self.encoders = self.genes.encoders
        if not self.encoders:
            raise ValueError(
                f"None of the modalities {list_some(modalities.names)} can be traced to genes: they are arrays that "
                "you brought. Explanations need a modality with an encoder."
            )
        without = [name for name, encoder in self.encoders.items() if not isinstance(encoder, GeneDifferentiable)]
        if attributor.needs_gradients and without:
            raise ValueError(
                f"{type(attributor).__name__} needs gradients, which the encoder of the modality {list_some(without)} "
                "does not give. Choose 'occlusion', 'lime' or 'kernel_shap', which do without."
            )
        _check_species(self.genes, self.encoders)
        own = classifier.temperature.device
        self.device = own if device == "auto" else resolve_device(device)
        self._classifier = classifier if self.device == own else copy.deepcopy(classifier).to(self.device)
        inputs = modalities.read(adata, missing_ok=True)
        # A modality that is missing says nothing, and there is nothing to explain of it.
        self.encoders = {name: encoder for name, encoder in self.encoders.items() if name in inputs}
        logits = classifier.logits(inputs)
        self.is_readable = np.asarray(np.isfinite(logits).all(axis=1))
        self.predicted: StrArray = labels[np.nan_to_num(logits, nan=0).argmax(axis=1)]
        self._held = {name: values for name, values in inputs.items() if name not in self.encoders}

    def forward(self, rows: "IntArray", *, smooth: bool) -> "tuple[GeneForward, GeneExpression]":
        """Logits of the genes of these cells, and their expression."""
        module = self._classifier.eval()
        expression = self.genes.take(rows)
        held = {name: values[rows] for name, values in self._held.items()}
        kind = SmoothForward if smooth else ExactForward
        return kind(module, self.encoders, expression, held, self.device), expression  # type: ignore[arg-type]

    def explain(self, rows: "IntArray", labels: "StrArray", *, progress: bool) -> CellAttributions:
        """Attribute the label of each cell to its genes; `rows` ascend."""
        index = {label: code for code, label in enumerate(self.labels)}
        target = np.array([index[label] for label in labels], dtype=np.int64)
        expression = self.genes.take(rows)
        n_modalities = len(self.encoders)
        blocks: list[sparse.coo_matrix] = []  # the modalities one after another, then the total
        difference, error = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        # Cells of similar size together, so that padding is little.
        order = np.argsort(np.diff(expression.matrix.indptr), kind="stable")
        with tqdm(total=len(rows), desc="Explaining", unit="cell", disable=not progress) as bar:
            for start in range(0, len(rows), self.attributor.cells_per_call):
                some = np.sort(order[start : start + self.attributor.cells_per_call])
                forward, part = self.forward(rows[some], smooth=self.attributor.needs_gradients)
                if isinstance(forward, SmoothForward) and start == 0:
                    forward.check()
                expressed = ExpressedGenes(part.matrix)
                gates = expressed.gates(n_modalities, self.device)
                targets = torch.from_numpy(target[some]).to(self.device)
                found = self.attributor.attribute(forward, gates, targets)
                scores = torch.cat([found.scores, found.total.unsqueeze(1)], dim=1).cpu().numpy()
                difference[some] = total_difference(forward, gates, targets).cpu().numpy()
                if self.attributor.is_complete:
                    error[some] = np.abs(scores[:, -1].sum(-1) - difference[some]) / np.abs(difference[some])
                cells, places = np.nonzero(expressed.is_gene)
                for block in range(n_modalities + 1):
                    where = (some[cells], expressed.columns[cells, places])
                    values = (scores[cells, block, places], where)
                    blocks.append(sparse.coo_matrix(values, shape=expression.matrix.shape))
                bar.update(len(some))
        summed = [sparse.csr_matrix(sum(blocks[block :: n_modalities + 1])) for block in range(n_modalities + 1)]
        by_modality = dict(zip(self.encoders, summed[:-1], strict=True))
        return CellAttributions(rows, expression, labels, summed[-1], by_modality, difference, error)

    def curves(self, found: CellAttributions, counts: Sequence[int]) -> "dict[str, FloatArray]":
        """Probabilities of the explained labels with genes deleted and inserted, each `(n_cells, n_counts)`."""
        index = {label: code for code, label in enumerate(self.labels)}
        blocks: dict[str, list[FloatArray]] = {"deletion": [], "insertion": []}
        for start in range(0, len(found.rows), _CURVE_CELLS):
            some = slice(start, start + _CURVE_CELLS)
            forward, part = self.forward(found.rows[some], smooth=False)
            expressed = ExpressedGenes(part.matrix)
            gates = expressed.gates(len(self.encoders), self.device)
            scores = found.total[some].toarray()[np.arange(len(gates))[:, None], expressed.columns]
            target = torch.tensor([index[label] for label in found.labels[some]], device=self.device)
            for kind, points in blocks.items():
                ranked = torch.from_numpy(scores).to(self.device)
                points.append(curve(forward, gates, ranked, target, counts, insert=kind == "insertion"))
        return {kind: np.concatenate(points) for kind, points in blocks.items()}


class GeneRemoval:
    """The label of one cell without some of its genes.

    Parameters
    ----------
    explainer
        Of that cell alone.
    """

    def __init__(self, explainer: Explainer) -> None:
        self._forward, expression = explainer.forward(np.array([0]), smooth=False)
        expressed = ExpressedGenes(expression.matrix)
        self._gates = expressed.gates(len(explainer.encoders), explainer.device)
        self._place = {expression.genes[column]: place for place, column in enumerate(expressed.columns[0])}
        self._labels = explainer.labels

    def without(self, genes: Sequence[str]) -> "tuple[str, FloatArray]":
        """The label, and the probabilities of all labels."""
        gates = self._gates.clone()
        gates[:, :, [self._place[gene] for gene in genes]] = 0
        probabilities = self._forward(gates, torch.zeros(1, dtype=torch.long, device=gates.device)).softmax(1)[0]
        return str(self._labels[int(probabilities.argmax())]), probabilities.cpu().numpy()

    def fewest(self, ranked: list[str], label: str) -> tuple[list[str], str | None, float]:
        """Genes none of which can be spared, the new label, and the probability of the old one."""
        code = list(self._labels).index(label)
        removed: list[str] = []
        while self.without(removed)[0] == label:
            if len(removed) == len(ranked):
                return [], None, float(self.without(removed)[1][code])
            removed.append(ranked[len(removed)])
        for gene in list(removed):
            fewer = [other for other in removed if other != gene]
            if self.without(fewer)[0] != label:
                removed = fewer
        new_label, probabilities = self.without(removed)
        return removed, new_label, float(probabilities[code])


def _check_species(joined: JoinedGenes, encoders: "Mapping[str, GeneEncoder]") -> None:
    """Refuse genes that an encoder does not know; warn of symbols that look like those of a mouse."""
    genes = joined.genes
    for name, encoder in encoders.items():
        known = encoder.known_genes(genes)
        fewest = encoder.fewest_genes(len(genes))
        if known.sum() < fewest:
            raise ValueError(
                f"The encoder of the {name!r} modality knows {known.sum()} of {len(genes)} genes; it needs "
                f"{fewest}. Nearest cause: {nearest_cause(genes, known, encoder.vocabulary)}."
            )
    if looks_like_mouse(joined.of_cells):
        warn_user(
            f"Genes such as {list_some(joined.of_cells, limit=3)} look like symbols of mouse. They are explained "
            "as they are; encoders and marker tables of human genes do not know them."
        )
