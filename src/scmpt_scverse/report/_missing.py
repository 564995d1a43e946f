"""What the page does not show because no model wrote it, and what to call."""

from collections.abc import Mapping

from scmpt_scverse.report._annotation import Annotation
from scmpt_scverse.report._evidence import Description, Evidence
from scmpt_scverse.report._genes import Genes


def missing_parts(
    annotation: Annotation,
    attributed: Mapping[str, Evidence],
    descriptions: Mapping[str, Description],
    genes: Genes,
) -> list[str]:
    """One sentence for each part that is missing."""
    sentences = []
    if annotation.predicted is None:
        sentences.append("Predicted labels: call `model.annotate(adata)`.")
    else:
        sentences += [
            f"{name.capitalize()}: there is no `adata.obs['{annotation.key}_{name}']`. {advice}"
            for name, advice in (
                ("confidence", "Call `model.annotate(adata)`."),
                ("novelty", "Call `model.annotate(adata)`; text models need types that are no candidates for it."),
            )
            if name not in annotation.scores
        ]
        if annotation.second is None:
            sentences.append("What labels are confused with: there are no probabilities. Call `model.annotate(adata)`.")
    if not attributed:
        sentences.append(
            "Genes that the model's labels rest on: there are no attributions of these labels. Call "
            "`model.rank_attributions(adata)`."
        )
    if not descriptions:
        sentences.append(
            "Descriptions: call `describe(adata, groupby)` of a text model, and pass its column as `group_key`."
        )
    if genes.missing:
        sentences.append(f"Expression: {genes.missing}")
    return sentences
