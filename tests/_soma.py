"""SOMA experiments that tests make."""

from collections.abc import ItemsView
from typing import Any

import pytest
from anndata import AnnData


def write_experiment(uri: str, cells: AnnData) -> None:
    """Write counts, labels and genes, by tiledbsoma itself."""
    io = pytest.importorskip("tiledbsoma.io", reason="needs the extra `census`")
    with pytest.MonkeyPatch.context() as patch:
        # anndata 0.13 lists `.X` among the layers, without a name, which tiledbsoma 2 takes for a layer to write.
        patch.setattr(type(cells.layers), "items", _named)
        io.from_anndata(uri, cells, measurement_name="RNA", X_layer_name="raw")


def _named(layers: Any) -> ItemsView[str, Any]:
    return {name: layers[name] for name in layers if name is not None}.items()
