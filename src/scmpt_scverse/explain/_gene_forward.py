"""The logits of some cells as a function of which of their genes are there."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from scipy import sparse

from scmpt_scverse.encoders import CacheableCells, ExpressedGenes, GeneDifferentiable, GeneGates
from scmpt_scverse.pp import GeneExpression

if TYPE_CHECKING:
    from torch import Tensor

    from scmpt_scverse._types import BoolArray, FloatArray, IntArray
    from scmpt_scverse.modalities import GeneEncoder
    from scmpt_scverse.module import FusionClassifier

#: Gates at 1 and what an encoder gives must agree; more than rounding means that the two read different cells.
_TOLERANCE = 1e-3


class GeneForward(ABC):
    """Logits of gates and cells.

    Parameters
    ----------
    module
        The head, in evaluation mode, on `device`.
    encoders
        Of the modalities whose genes have gates, in the order of the gates.
    expression
        The cells; every encoder reads at least one gene of each.
    held
        The other modalities, `{modality: (n_cells, dim)}`, which stay what they are.
    device
        Where to compute.
    """

    def __init__(
        self,
        module: "FusionClassifier",
        encoders: "Mapping[str, GeneEncoder]",
        expression: GeneExpression,
        held: "Mapping[str, FloatArray]",
        device: "torch.device",
    ) -> None:
        self._module, self._encoders, self._expression, self._device = module, dict(encoders), expression, device
        self._held = {name: torch.from_numpy(values).to(device) for name, values in held.items()}
        self._expressed = ExpressedGenes(expression.matrix)

    @abstractmethod
    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """Logits `(batch, n_labels)` of gates `(batch, n_modalities, n_genes)` of cells `(batch,)`."""

    def _held_inputs(self, cells: "Tensor") -> "dict[str, Tensor]":
        return {name: values[cells] for name, values in self._held.items()}


class SmoothForward(GeneForward):
    """With gradients: genes are turned down inside the encoders (see :class:`GeneGates`)."""

    def __init__(
        self,
        module: "FusionClassifier",
        encoders: "Mapping[str, GeneDifferentiable]",
        expression: GeneExpression,
        held: "Mapping[str, FloatArray]",
        device: "torch.device",
    ) -> None:
        super().__init__(module, cast("Mapping[str, GeneEncoder]", encoders), expression, held, device)
        self._gates: dict[str, tuple[GeneGates, Tensor]] = {}
        for name, encoder in encoders.items():
            gates = encoder.gene_gates(expression, device)
            self._gates[name] = gates, torch.from_numpy(_places(gates.genes, self._expressed)).to(device)

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneForward.__call__`."""
        inputs = self._held_inputs(cells)
        for modality, (name, (embed, places)) in enumerate(self._gates.items()):
            # One gate more, which is 1, for positions of no gene.
            padded = torch.nn.functional.pad(gates[:, modality], (0, 1), value=1.0)
            inputs[name] = embed(padded.gather(1, places[cells]), cells)
        logits: Tensor = self._module(inputs)
        return logits

    def check(self) -> None:
        """Raise `ValueError` unless the first cell, with all genes in place, is what each encoder makes of it."""
        for name, (gates, _) in self._gates.items():
            self._check(name, gates)

    def _check(self, name: str, gates: GeneGates) -> None:
        encoder, first = self._encoders[name], GeneExpression(self._expression.matrix[:1], self._expression.genes)
        expected = encoder.encode(encoder.prepare(first), device=str(self._device), precision="float32")
        with torch.no_grad():
            ones = torch.ones((1, gates.genes.shape[1]), device=self._device)
            found = gates(ones, torch.zeros(1, dtype=torch.long, device=self._device)).cpu().numpy()
        error = np.abs(found - expected).max()
        if error > _TOLERANCE * np.abs(expected).max():
            raise ValueError(
                f"Gradients cannot be followed through the encoder of the {name!r} modality: with all genes in place, "
                f"the differentiable path is off by {error:.2g}. Choose a method that only asks, such as 'occlusion'."
            )


class ExactForward(GeneForward):
    """Without gradients: a gene at 0 is taken out of the expression, and the cell is read and embedded again.

    A cell without any gene left has no embedding; the head then gets the mean of the training cells, which tells it
    nothing.
    """

    def __init__(
        self,
        module: "FusionClassifier",
        encoders: "Mapping[str, GeneEncoder]",
        expression: GeneExpression,
        held: "Mapping[str, FloatArray]",
        device: "torch.device",
    ) -> None:
        super().__init__(module, encoders, expression, held, device)
        # What a cell's input embeds to: most removals change what only one encoder reads, and some change nothing.
        self._known: dict[str, dict[bytes, FloatArray]] = {name: {} for name in encoders}

    def __call__(self, gates: "Tensor", cells: "Tensor") -> "Tensor":
        """See :meth:`GeneForward.__call__`; gates are 0 or 1."""
        rows = cells.cpu().numpy()
        is_there = gates.detach().cpu().numpy() > 0.5
        inputs = self._held_inputs(cells)
        for modality, (name, encoder) in enumerate(self._encoders.items()):
            embedding = self._embed(name, encoder, self._without(rows, is_there[:, modality]))
            inputs[name] = torch.from_numpy(embedding).to(self._device)
            inputs[name] = torch.where(inputs[name].isnan(), self._module.neutral(name), inputs[name])
        with torch.no_grad():
            logits: Tensor = self._module(inputs)
        return logits

    def _without(self, rows: "IntArray", is_there: "BoolArray") -> GeneExpression:
        matrix = self._expression.matrix[rows]
        kept = is_there[self._expressed.is_gene[rows]]
        indptr = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
        return GeneExpression(
            sparse.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), shape=matrix.shape),
            self._expression.genes,
        )

    def _embed(self, name: str, encoder: "GeneEncoder", expression: GeneExpression) -> "FloatArray":
        inputs = encoder.prepare(expression)
        if not isinstance(inputs, CacheableCells):
            return encoder.encode(inputs, device=str(self._device), precision="float32")
        known, contents = self._known[name], list(inputs.contents())
        new = {content: row for row, content in enumerate(contents) if content not in known}
        if new:
            some = inputs.take(np.fromiter(new.values(), dtype=np.int64))
            known.update(zip(new, encoder.encode(some, device=str(self._device), precision="float32"), strict=True))
        return np.stack([known[content] for content in contents])


def _places(genes: "IntArray", expressed: ExpressedGenes) -> "IntArray":
    """Where in the cell's expressed genes each position finds its gate; one past the last where it belongs to none."""
    n_genes = expressed.columns.shape[1]
    place = np.full((len(genes), max(genes.max(initial=-1), expressed.columns.max(initial=-1)) + 2), n_genes)
    rows, columns = np.nonzero(expressed.is_gene)
    place[rows, expressed.columns[rows, columns]] = columns
    return place[np.arange(len(genes))[:, None], genes]  # -1 is the last column, which stays at "none"
