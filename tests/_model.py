"""Shorthand for what tests ask of a model."""

from typing import Any

import pandas as pd
from anndata import AnnData

from scmpt_scverse import SCMPT


def probabilities(model: SCMPT, adata: AnnData | None = None, **options: Any) -> pd.DataFrame:
    """What `predict` gives with `soft`."""
    soft = model.predict(adata, soft=True, **options)
    assert isinstance(soft, pd.DataFrame)
    return soft
