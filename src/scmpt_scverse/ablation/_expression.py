"""Changes to the expression that every encoder reads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import sparse

from scmpt_scverse._checks import check_choice, check_positive, check_share
from scmpt_scverse.ablation._base import Ablation
from scmpt_scverse.pp import GeneExpression, check_known_genes, rank_genes, read_gene_list

if TYPE_CHECKING:
    from scmpt_scverse._types import BoolArray

_KINDS = ("ribosomal", "mitochondrial", "housekeeping")
#: Eisenberg and Levanon (2013), "Human housekeeping genes, revisited", and common additions; in capitals.
_HOUSEKEEPING = frozenset(
    [
        "C1ORF43",
        "CHMP2A",
        "EMC7",
        "GPI",
        "PSMB2",
        "PSMB4",
        "RAB7A",
        "REEP5",
        "SNRPD3",
        "VCP",
        "VPS29",
        "ACTB",
        "ACTG1",
        "B2M",
        "EEF1A1",
        "GAPDH",
        "MALAT1",
        "PPIA",
        "TMSB4X",
        "TPT1",
        "UBC",
        "FTL",
        "FTH1",
    ]
)


class Truncate(Ablation):
    """Keeps only the most expressed genes of each cell.

    Parameters
    ----------
    n_genes
        How many genes to keep.
    """

    def __init__(self, n_genes: int) -> None:
        check_positive(n_genes, "n_genes")
        self.n_genes, self.name = n_genes, f"top {n_genes} genes"

    def expression(self, expression: GeneExpression, generator: np.random.Generator) -> GeneExpression:
        """See :meth:`Ablation.expression`."""
        matrix = expression.matrix
        indptr, ranked = rank_genes(matrix, self.n_genes)
        kept = sparse.csr_matrix((np.ones(len(ranked)), ranked, indptr), shape=matrix.shape)
        return _canonical(matrix.multiply(kept), expression)


class DropGenes(Ablation):
    """Removes genes.

    Parameters
    ----------
    genes
        `"ribosomal"`, `"mitochondrial"`, `"housekeeping"`, or a list of gene symbols, all of which must be in the data.

    Raises
    ------
    TypeError, ValueError
        `genes` is not a list, is empty, or holds identifiers or missing names; or it is an unknown name of a set. Genes
        that are not in the data are an error when the ablation is run.
    """

    def __init__(self, genes: "Literal['ribosomal', 'mitochondrial', 'housekeeping'] | Sequence[str]") -> None:
        if isinstance(genes, str):
            check_choice(genes, _KINDS, "genes")
        self.genes = genes if isinstance(genes, str) else read_gene_list(genes, "genes")
        self.name = f"without {genes if isinstance(genes, str) else len(self.genes)} genes"

    def expression(self, expression: GeneExpression, generator: np.random.Generator) -> GeneExpression:
        """See :meth:`Ablation.expression`."""
        if not isinstance(self.genes, str):
            check_known_genes(self.genes, expression.genes, "genes", "the data")
        kept = ~np.fromiter(map(self._is_dropped, expression.genes), dtype=bool, count=len(expression.genes))
        return _canonical(expression.matrix @ sparse.diags(kept.astype(expression.matrix.dtype)), expression)

    def _is_dropped(self, gene: str) -> bool:
        upper = gene.upper()
        if self.genes == "ribosomal":
            return upper.startswith(("RPL", "RPS"))
        if self.genes == "mitochondrial":
            return upper.startswith("MT-")
        if self.genes == "housekeeping":
            return upper in _HOUSEKEEPING
        return gene in self.genes


class LowDepth(Ablation):
    """Lowers the sequencing depth: every count is thinned binomially.

    Parameters
    ----------
    share
        Share of molecules that is kept, in [0, 1].

    Raises
    ------
    ValueError
        `share` is out of range; or, when the ablation is run, the expression is not raw counts.
    """

    def __init__(self, share: float) -> None:
        check_share(share, "share")
        self.share, self.name = share, f"depth {share:.0%}"

    def expression(self, expression: GeneExpression, generator: np.random.Generator) -> GeneExpression:
        """See :meth:`Ablation.expression`."""
        counts = expression.matrix.data
        is_whole: BoolArray = counts == np.rint(counts)
        if not is_whole.all():
            raise ValueError(
                f"Low depth thins raw counts; found fractions such as {counts[~is_whole][0]:.4g}. Set up the model "
                "with a `layer=` that holds counts."
            )
        thinned = expression.matrix.copy()
        thinned.data = generator.binomial(counts.astype(np.int64), self.share).astype(counts.dtype)
        return _canonical(thinned, expression)


def _canonical(matrix: sparse.csr_matrix, like: GeneExpression) -> GeneExpression:
    matrix = sparse.csr_matrix(matrix, dtype=like.matrix.dtype)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return GeneExpression(matrix, like.genes)
