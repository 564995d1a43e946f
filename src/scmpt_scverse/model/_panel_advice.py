"""What can be told apart on a panel of genes, estimated from labelled cells alone."""

from typing import TYPE_CHECKING

from scmpt_scverse.evaluation import cell_splits, predicted_out_of_fold, types_apart

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scmpt_scverse._types import FloatArray, StrArray
    from scmpt_scverse.modalities import Modalities
    from scmpt_scverse.model._evaluation import ModelKind


def panel_advice(
    kind: "ModelKind",
    cells: "AnnData",
    modalities: "Modalities",
    panel: "StrArray",
    truth: "StrArray",
    groups: "FloatArray | None",
    *,
    n_splits: int,
    seed: int,
) -> "pd.DataFrame":
    """See :meth:`scmpt_scverse.SCMPT.advise_panel`; of labelled cells, in whose `.obsm` embeddings are written."""
    names = [*modalities.of_encoders, *modalities.of_genes]
    if not names:
        raise ValueError(
            "Expected a modality that reads genes; found only arrays that you brought, which no panel changes. Pass "
            "`encoders=` or `preset=` to the model."
        )
    splits = cell_splits(truth, groups, n_splits=n_splits, seed=seed)

    def predicted(genes: "list[str] | None") -> "StrArray":
        options = {"fusion": "stacked", "genes": genes}
        whole = kind.untrained(cells, modalities, names, **options)
        whole.embed(progress=False)  # replaces embeddings of other genes
        quiet = whole.modalities.quiet()
        return predicted_out_of_fold(lambda some: kind.untrained(some, quiet, names, **options), cells, splits)

    return types_apart(truth, {"": predicted(panel.tolist()), "_all_genes": predicted(None)})
