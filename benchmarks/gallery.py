"""Draw the plots of the gallery: `python benchmarks/gallery.py --markers TABLE_OF_PANGLAODB`.

Data are the PBMC that ship with scanpy; all but the training curve show cells that were held out from training.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import scanpy as sc
from anndata import AnnData
from explanations import CELL_TYPES, ENCODERS, trained

from scmpt_scverse import SCMMGPT, SCMPT, ablation, datasets, metrics, pl, tl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parents[1] / "docs" / "user_guide" / "images"
LABELS_KEY = "bulk_labels"
DESCRIBED_AS = ["B cell", "CD14-positive monocyte", "natural killer cell", "CD4-positive, alpha-beta T cell"]
DESCRIBED_AS += ["CD8-positive, alpha-beta T cell", "dendritic cell", "hematopoietic stem cell"]
GENERATED = ["CD14+ Monocyte", "CD19+ B", "CD56+ NK", "Dendritic"]
SEARCHED_FOR = "B cells that make antibodies"
CHANGES = [ablation.Shuffle(), ablation.ReplaceNames("hash"), ablation.ReplaceNames("random"), ablation.Truncate(10)]
CHANGES += [ablation.DropGenes("ribosomal"), ablation.WithoutModality("text"), ablation.WithoutModality("expression")]


def save(ax: "Axes", name: str) -> None:
    """Write the figure of these axes."""
    ax.figure.savefig(IMAGES / f"{name}.png", dpi=110, bbox_inches="tight")  # type: ignore[union-attr]
    plt.close("all")


def draw_predictions(model: SCMPT, fresh: AnnData) -> None:
    """Training, and predictions of held-out cells."""
    save(pl.training_curve(model.history, show=False), "training_curve")
    save(pl.confusion_matrix(fresh, LABELS_KEY, show=False), "confusion_matrix")
    save(pl.reliability_diagram(fresh, LABELS_KEY, show=False), "reliability_diagram")
    save(pl.contributions(fresh, show=False), "contributions")
    is_right = fresh.obs["scmpt_prediction"].astype(str) == fresh.obs[LABELS_KEY].astype(str)
    fresh.obs["is_right"] = is_right.map({True: "right", False: "wrong"})
    save(pl.novelty(fresh, "is_right", show=False), "novelty")


def draw_explanations(model: SCMPT, fresh: AnnData, markers: str) -> None:
    """Genes that decided, and tests of these explanations."""
    model.rank_attributions(fresh, n_cells_per_group=3)
    save(pl.attributions(fresh, show=False)[0], "attributions")
    save(pl.attributions(fresh, kind="dots", show=False)[0], "attribution_dots")
    dots = sc.pl.rank_genes_groups_dotplot(fresh, n_genes=3, key="scmpt_attributions", dendrogram=False, show=False)
    save(dots["mainplot_ax"], "rank_genes_groups_dotplot")
    save(pl.cell_attributions(model.explain_cell(fresh, fresh.obs_names[0]), show=False), "cell_attributions")
    save(pl.marker_overlap(tl.marker_overlap(fresh, markers, cell_types=CELL_TYPES), show=False), "marker_overlap")
    curves = model.deletion_curves(fresh, n_cells=24)
    save(pl.deletion_curves(curves, show=False), "deletion_curves")
    save(pl.deletion_curves(curves, kind="insertion", show=False), "insertion_curves")


def draw_descriptions(cells: AnnData) -> None:
    """What the text model says of clusters, and where it finds a text."""
    model = SCMMGPT.from_pretrained("scmmgpt-mini")
    model.describe(cells, "louvain", labels=DESCRIBED_AS)
    model.search(cells, SEARCHED_FOR)
    groups = ["0", "1", "2", "3", "4", "10"]
    save(pl.descriptions(cells, groups, show=False)[0], "descriptions")
    save(pl.profiles(cells, groups[:5], show=False)[0], "profiles")
    save(pl.search(cells, SEARCHED_FOR, show=False)[0], "search")


def draw_pseudo_cells(cells: AnnData) -> None:
    """Cells that a generator draws, beside real ones that it has not seen."""
    train, others = cells[::2].copy(), cells[1::2].copy()
    SCMMGPT.setup_anndata(train, LABELS_KEY)
    model = SCMMGPT.from_pretrained("scmmgpt-mini", train)
    model.train(stage="generate", seed=0)
    pseudo = model.generate(GENERATED, n_cells=100, seed=0)
    save(pl.generation(others, pseudo, labels_key=LABELS_KEY, show=False)[0], "generation")


def draw_comparisons(cells: AnnData) -> None:
    """Stacked heads, trained on folds: next to simpler predictors, and on changed inputs."""
    stacked = SCMPT(cells, encoders=ENCODERS, fusion="stacked")
    stacked.train()
    table = stacked.cross_validate(cells, train_size=1.0)
    save(pl.evaluation(metrics.replicate_summary(table), show=False), "evaluation")
    save(pl.ablations(ablation.run(stacked, cells, CHANGES), show=False), "ablations")


def main() -> None:
    """Train one model and draw everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markers", default="panglaodb", help="a file; fetched by decoupler if not given")
    markers = parser.parse_args().markers
    plt.switch_backend("agg")
    cells = datasets.pbmc68k_reduced()
    model = trained(cells, LABELS_KEY)
    fresh = cells[sorted(model.test_indices)].copy()
    model.annotate(fresh)
    draw_predictions(model, fresh)
    draw_explanations(model, fresh, markers)
    draw_comparisons(cells)
    draw_descriptions(datasets.pbmc68k_reduced())
    draw_pseudo_cells(datasets.pbmc68k_reduced())


if __name__ == "__main__":
    main()
