"""Small real data sets, and cells of the CELLxGENE Census."""

from scmpt_scverse.datasets._census import census_labels, fetch_census
from scmpt_scverse.datasets._datasets import pbmc68k_reduced

__all__ = ["census_labels", "fetch_census", "pbmc68k_reduced"]
