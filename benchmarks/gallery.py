"""Draw the pictures of the gallery anew: `python benchmarks/gallery.py --markers TABLE_OF_PANGLAODB`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from explanations import CELL_TYPES, ENCODERS, trained

from scmpt_scverse import SCMPT, ablation, datasets, pl, tl

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES = Path(__file__).parents[1] / "docs" / "user_guide" / "images"


def save(ax: "Axes", name: str) -> None:
    """Write the figure of these axes."""
    ax.figure.savefig(IMAGES / f"{name}.png", dpi=110, bbox_inches="tight")  # type: ignore[union-attr]
    plt.close("all")


def main() -> None:
    """Train one model and draw everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markers", default="panglaodb", help="a file; fetched by decoupler if not given")
    markers = parser.parse_args().markers
    plt.switch_backend("agg")
    cells = datasets.pbmc68k_reduced()
    model = trained(cells, "bulk_labels")
    fresh = cells[sorted(model.test_indices)].copy()
    model.annotate(fresh)
    model.rank_attributions(fresh, n_cells_per_group=3)
    save(pl.attributions(fresh, show=False)[0], "attributions")
    save(pl.attribution_dots(fresh, show=False), "attribution_dots")
    save(pl.cell_attributions(model.explain_cell(fresh, fresh.obs_names[0]), show=False), "cell_attributions")
    save(pl.marker_overlap(tl.marker_overlap(fresh, markers, cell_types=CELL_TYPES), show=False), "marker_overlap")
    curves = model.deletion_curves(fresh, n_cells=24)
    save(pl.deletion_curves(curves, show=False), "deletion_curves")
    save(pl.deletion_curves(curves, kind="insertion", show=False), "insertion_curves")
    stacked = SCMPT(cells, encoders=ENCODERS, fusion="stacked")
    stacked.train()
    changes = [ablation.Shuffle(), ablation.HashNames(), ablation.RandomNames(), ablation.Truncate(10)]
    changes += [ablation.DropGenes("ribosomal"), ablation.WithoutModality("text")]
    changes += [ablation.WithoutModality("expression")]
    save(pl.ablations(ablation.run(stacked, cells, changes), show=False), "ablations")


if __name__ == "__main__":
    main()
