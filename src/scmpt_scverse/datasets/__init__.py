"""Small real data sets."""

from scmpt_scverse.datasets._datasets import pbmc68k_reduced

__all__ = ["pbmc68k_reduced"]
