"""What labels from texts are taken for, and which genes a score comes from: of one cell, and ranked per label."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from scmpt_scverse._checks import check_choice, check_positive, check_seed
from scmpt_scverse._slots import (
    DEFAULT_TEXT_KEY_ADDED,
    AttributionKeys,
    TextLabelKeys,
    check_ranking_is_ours,
    check_writable,
)
from scmpt_scverse.explain import (
    CellAttributions,
    checked_groupby,
    row_of_cell,
    sample_cells,
    wanted_groups,
    write_attributions,
)
from scmpt_scverse.knowledge import cell_ontology
from scmpt_scverse.modalities import ExpressionSource
from scmpt_scverse.zero_shot import (
    REFINEMENTS,
    UNKNOWN,
    Labels,
    Query,
    Refine,
    TextModel,
    checked_label,
    explained_cell,
    gene_shares,
    matching_candidates,
)

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse.pp import Organism


class ExplainsScoresMixin:
    """Explanations of labels from texts."""

    _setup_args: dict[str, Any]
    _unlabeled_names: list[str]
    _cells: "Callable[[AnnData | None], AnnData]"
    _query: "Callable[[AnnData | None, str | None, str | None, Organism | None], Query]"
    _source: "Callable[[AnnData, str | None, str | None, Organism | None], ExpressionSource]"
    _trained: Callable[[], TextModel]

    def resolve_labels(self, labels: "Labels | None" = None, *, tissue: str | None = None) -> pd.DataFrame:
        """Show how the model understands each label; no cells are needed.

        Parameters
        ----------
        labels, tissue
            As for :meth:`predict`.

        Returns
        -------
        One row per label, in the order in which they are columns of probabilities: `ontology_id` and `ontology_term`,
        missing where the label is no term of the Cell Ontology; `has_markers`, whether genes are known of it, from you
        or from the tables that the model was trained on; and `reads_text`, whether its words count, too.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`predict`.

        Warns
        -----
        UserWarning
            Labels mean the same, or nothing is known of one.
        """
        candidates = self._trained().candidates(labels, tissue)
        known = cell_ontology().terms
        table = pd.DataFrame(
            {
                "ontology_id": candidates.terms,
                "ontology_term": [None if term is None else known[term].name for term in candidates.terms],
            },
            index=pd.Index(candidates.names, name="label"),
            dtype=object,  # pandas 3 would make NaN of None in a column of text
        )
        return table.assign(has_markers=candidates.markers.any(axis=1), reads_text=candidates.texts.any(axis=1))

    def explain_cell(
        self,
        adata: "AnnData | None",
        obs_name: str,
        *,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        label: str | None = None,
        refine: Refine = "self-train",
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
    ) -> pd.DataFrame:
        """What each gene of one cell adds to its score for a label; exact, since the score is linear in the cell.

        Parameters
        ----------
        adata
            All cells of the study, as for :meth:`predict`: the cell is explained by how it differs from them.
        obs_name
            Name of the cell, which only one cell has.
        labels, tissue, layer, gene_symbols, organism
            As for :meth:`predict`.
        label
            The label to explain; `None` takes the one that :meth:`predict` gives.
        refine
            Of that prediction. What is explained is the score of the cell itself, before neighbours are averaged.

        Returns
        -------
        One row per gene that scores rest on, highest share first; columns `total`, then one for each part, `tower`,
        `ridge` and `markers`, and `value`, its expression in the data. A gene that the cell does not express may speak
        for a label that does not have it. `.attrs` holds `label`; `difference`, the score that all shares sum to, and
        `completeness_error`; `by_part`, what each part adds to the score; `runner_up`, the best of the other labels;
        `margin_by_part`, how far each part puts the label above it; and `decided_by`, the part that does so most.

        Raises
        ------
        RuntimeError, ValueError
            As :meth:`predict`; also where the label is not a candidate, or the cell cannot be read.
        KeyError
            No such cell.
        """
        check_choice(refine, REFINEMENTS, "refine")
        row = row_of_cell(self._cells(adata), obs_name)
        trained = self._trained()
        candidates = trained.candidates(labels, tissue)
        label = checked_label(label, candidates)
        query = self._query(adata, layer, gene_symbols, organism)
        return explained_cell(trained, query, candidates, row, label, refine, name=obs_name)

    def rank_attributions(
        self,
        adata: "AnnData | None" = None,
        *,
        groupby: str | None = None,
        groups: Sequence[str] | None = None,
        labels: "Labels | None" = None,
        tissue: str | None = None,
        refine: Refine = "self-train",
        n_cells_per_group: int | None = 30,
        key_added: str = f"{DEFAULT_TEXT_KEY_ADDED}_attributions",
        per_cell: bool = False,
        layer: str | None = None,
        gene_symbols: str | None = None,
        organism: "Organism | None" = None,
        seed: int = 0,
    ) -> None:
        """Rank genes by what they add to the score of each label.

        Parameters
        ----------
        adata
            Cells, as for :meth:`predict`.
        groupby
            Column of `.obs`. Where a group means one of the labels, by its name or in the Cell Ontology, that label's
            score is explained in its cells, else the label that :meth:`predict` gives each cell. `None` takes what
            :meth:`annotate` wrote, or the column of labels if it did not.
        groups
            The groups to explain; `None` takes all.
        labels, tissue, refine, layer, gene_symbols, organism
            As for :meth:`predict`; pass what :meth:`annotate` was given.
        n_cells_per_group
            Cells of each group that are explained, at random; `None` takes all. Shares are dense: each cell takes
            memory for every gene of the model.
        key_added
            Key of `.uns`, and of `.layers`; what an earlier call wrote there is replaced.
        per_cell
            Also write the shares of the explained cells.
        seed
            Of the choice of cells.

        Returns
        -------
        Nothing; writes what :meth:`SCMPT.rank_attributions` does, the parts `tower`, `ridge` and `markers` in place
        of modalities: `adata.uns[key_added]` in the form of `sc.tl.rank_genes_groups`, and with `per_cell`
        `adata.layers[key_added]`. :func:`scmpt_scverse.pl.attributions` draws it.

        Raises
        ------
        RuntimeError, ValueError, KeyError
            As :meth:`predict`; also a missing column, a group without cells, or a key that cannot be written.
        """
        cells, keys = self._cells(adata), AttributionKeys.from_key(key_added)
        check_choice(refine, REFINEMENTS, "refine")
        check_writable(cells, key_added, keys.slots)
        check_ranking_is_ours(cells, keys)
        if n_cells_per_group is not None:
            check_positive(n_cells_per_group, "n_cells_per_group")
        check_seed(seed)
        trained = self._trained()
        written = TextLabelKeys.from_prefix(DEFAULT_TEXT_KEY_ADDED).prediction
        groupby = checked_groupby(cells, groupby, written, self._setup_args["labels_key"])
        column, wanted = wanted_groups(cells, groupby, groups, [*dict.fromkeys([*self._unlabeled_names, UNKNOWN])])
        candidates = trained.candidates(labels, tissue)
        query = self._query(adata, layer, gene_symbols, organism)
        probabilities = trained.probabilities(query, candidates, refine)
        is_readable = np.asarray(np.isfinite(probabilities).all(axis=1))
        chosen = sample_cells(column, wanted, is_readable, n_cells_per_group, seed)
        rows = np.sort(np.concatenate(list(chosen.values())))
        meant = {name: found[0] for name, found in matching_candidates(wanted, candidates).items() if len(found) == 1}
        codes = np.array([meant.get(group, -1) for group in column[rows]])
        codes = np.where(codes < 0, probabilities[rows].argmax(axis=1), codes)
        parts = trained.parts(query, candidates)
        shares = gene_shares(query, parts, trained.genes, rows, codes)
        # Scored as cells are labelled, without a matrix of shares, so that the error says whether these sum to it.
        scores = query.standardisation.scores(query.take(rows)[1], sum(parts.values(), np.zeros(1)))
        difference = scores[np.arange(len(rows)), codes]
        error = np.abs(shares.scores - difference) / np.maximum(np.abs(difference), np.finfo(np.float32).tiny)
        explained = CellAttributions(
            rows,
            shares.expression,
            candidates.names[codes],
            shares.total,
            shares.by_part,
            difference,
            error,
        )
        params = {"groupby": groupby, "method": "linear", "modalities": list(shares.by_part), "seed": seed}
        write_attributions(
            cells,
            explained,
            groups={group: np.searchsorted(rows, members) for group, members in chosen.items()},
            keys=keys,
            params=params,
            symbols=self._source(cells, layer, gene_symbols, organism).symbols(cells),
            per_cell=per_cell,
        )
