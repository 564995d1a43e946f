"""The sets of labelled cells that accuracy is measured on, and which of them the expression encoder has seen."""

from dataclasses import dataclass

from _pretraining_corpus import CORPUS

#: Folds, and with them replicates; fewer where there are fewer groups to hold out.
N_FOLDS = 5
#: Where a fold has a hundred cells or less, its metrics vary too much, and so do those of one partition.
N_PARTITIONS_OF_FEW, FEW_CELLS = 5, 600


@dataclass(frozen=True)
class CellSet:
    """One line of the tables.

    Attributes
    ----------
    name
        As in the tables.
    files
        What it is read from; several are joined over the genes and labels that they share.
    labels_key
        Column of `.obs` with labels.
    group_key
        Column of `.obs` whose groups are held out whole; `None` splits by cell.
    unlabeled
        The value that means: no label.
    study
        The study whose labels `scmmgpt-mini` has learned and that has these cells, if any. The modality "knowledge"
        then reads a text model that was trained without it.
    """

    name: str
    files: tuple[str, ...]
    labels_key: str = "cell_type"
    group_key: str | None = None
    unlabeled: str = "unlabelled"
    study: str | None = None

    @property
    def is_seen(self) -> bool:
        """Whether `scgpt-mini` was pre-trained on any of its cells, without their labels."""
        return any(file.name in self.files for file in CORPUS)


#: In the order of the tables. The first comes with scanpy; the others are files of a folder.
SETS = (
    # Other cells of the study whose sorted cells are the next set.
    CellSet("scanpy PBMC", (), "bulk_labels", study="zheng"),
    CellSet("zheng", ("pbmc_zheng_facs.h5ad",), study="zheng"),
    CellSet("kang, donors", ("pbmc_kang_ifnb.h5ad",), group_key="donor", study="kang"),
    CellSet("kang, by cell", ("pbmc_kang_ifnb.h5ad",), study="kang"),
    CellSet("kang condition, donors", ("pbmc_kang_ifnb.h5ad",), "condition", group_key="donor", study="kang"),
    CellSet("kang 114 cells", ("pbmc_kang_harmony_partly_labelled.h5ad",), group_key="condition", study="kang"),
    CellSet("headneck", ("headneck_puram.h5ad",)),
    CellSet("pbmc3k", ("pbmc3k_clustifyr.h5ad",)),
    CellSet("pancreas xin", ("pancreas_xin.h5ad",), study="xin"),
    CellSet("pancreas wang", ("pancreas_wang.h5ad",)),
    CellSet("pancreas, other study", ("pancreas_xin.h5ad", "pancreas_wang.h5ad"), group_key="batch", study="xin"),
    CellSet("cell lines, batches", ("celllines_sc_mixology.h5ad",), group_key="batch"),
    CellSet("embryo", ("embryo_yan.h5ad",)),
    CellSet("brain nuclei, donors", ("brain_allen_neun_facs.h5ad",), group_key="donor", study="brain"),
)
#: Names of the sets whose cells the encoder has seen, and of those that it has not.
SEEN = tuple(cell_set.name for cell_set in SETS if cell_set.is_seen)
UNSEEN = tuple(cell_set.name for cell_set in SETS if not cell_set.is_seen)
#: The set with the fewest cells, whose result weighs as much in a mean over sets as any other.
SMALLEST = "kang 114 cells"
