"""Pre-train a scGPT encoder, or continue from one; resumable, and written completely or not at all."""

import hashlib
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmpt_scverse import __version__
from scmpt_scverse._folders import check_folder, claim_run
from scmpt_scverse._hardware import check_accelerator
from scmpt_scverse.encoders._get import get
from scmpt_scverse.encoders._scgpt import ScGPTEncoder
from scmpt_scverse.encoders._scgpt_checkpoint import SPECIAL_TOKENS
from scmpt_scverse.encoders._scgpt_write import write_folder
from scmpt_scverse.encoders.pretraining._recipe import PretrainingRecipe
from scmpt_scverse.pp import HUMAN, Organism

if TYPE_CHECKING:
    from anndata import AnnData

    from scmpt_scverse._types import StrPath
    from scmpt_scverse.encoders._scgpt_checkpoint import ScGPTSettings
    from scmpt_scverse.encoders.pretraining._corpus import Corpus

#: Where a run keeps what it needs to be resumed, next to the output folder.
_PARTIAL_SUFFIX = ".partial"


def pretrain(
    data: "StrPath | AnnData | Sequence[StrPath | AnnData]",
    out: "StrPath",
    *,
    init: "StrPath | None" = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    organism: Organism = HUMAN,
    vocabulary: Collection[str] | None = None,
    recipe: PretrainingRecipe | None = None,
    compact: bool = False,
    accelerator: str = "auto",
    devices: int | list[int] | str = "auto",
    strategy: str = "auto",
    progress: bool = True,
) -> ScGPTEncoder:
    """Pre-train a small scGPT encoder on your cells, or continue from a checkpoint.

    Parameters
    ----------
    data
        `.h5ad` files, which are read from disk in small runs of rows, or AnnData; one or several. Counts or
        log-normalised expression, non-negative. No labels are used.
    out
        Folder to write, in the official layout: `args.json`, `vocab.json`, `best_model.pt`. It appears when training
        is complete. Until then `<out>.partial` holds what is needed to resume: the same call resumes it exactly.
    init
        Checkpoint to continue from, by name or folder. Its vocabulary is kept, and genes of `data` that it lacks are
        added. `None` starts from scratch, with embeddings in which genes that are expressed together are alike.
    layer, gene_symbols, organism
        As in :func:`scmpt_scverse.tl.embed`, the same for all files. An encoder of mouse genes themselves is trained,
        and used, with `organism="native"`.
    vocabulary
        Gene symbols of the vocabulary, read like those of the data; `None` takes those expressed in at least
        `min_cells` cells (see :class:`PretrainingRecipe`).
    recipe
        Size of the network, objectives, learning rate and the like; `None` takes the defaults of
        :class:`PretrainingRecipe`.
    compact
        Write the weights as `model.safetensors` in float16, half the size; the official code does not read this file.
    accelerator, devices, strategy
        As in Lightning; `"auto"` uses all available GPUs.
    progress
        Show a progress bar with loss and held-out loss.

    Returns
    -------
    The encoder, opened from `out`. `history.csv` in that folder has the losses.

    Raises
    ------
    FileExistsError
        `out` exists.
    FileNotFoundError
        A file, or the folder that `out` should be in, does not exist.
    OSError
        The folder that `out` should be in is not writable.
    KeyError
        `layer` or `gene_symbols` is not in a file.
    TypeError
        `vocabulary` is not a list.
    ValueError
        A file is damaged or empty, has negative or non-finite values, or shares hardly any gene with the others; `init`
        is not a scGPT checkpoint; an option is out of range; or `<out>.partial` belongs to a run with other data or
        options.
    RuntimeError
        Training was stopped before its end; the same call resumes it.

    Notes
    -----
    By default, `<cls>`, given some genes of a cell, predicts the expression of genes of the file, in standard
    deviations from their mean over the file (`cell_expression`). `masked_value` and `cell_value` are the objectives of
    scGPT :cite:p:`cui2024scgpt`: bins of hidden genes are predicted from the other genes of the cell and from `<cls>`.
    In `cell_summary`, a linear map for each file predicts the cell's principal components within the file from `<cls>`.

    Examples
    --------
    >>> from scmpt_scverse import encoders
    >>> encoder = encoders.pretrain(["liver.h5ad", "gut.h5ad"], "my_encoder")  # doctest: +SKIP
    """
    recipe = recipe or PretrainingRecipe()
    check_accelerator(accelerator)
    items = [data] if isinstance(data, str | PathLike) or hasattr(data, "obs") else list(data)
    if not items:
        raise ValueError("Expected at least one file of cells in `data`; found none.")
    out = Path(out).expanduser()
    _check_out(out)
    initial = None if init is None else get(init)
    if initial is not None and not isinstance(initial, ScGPTEncoder):
        raise ValueError(f"Expected a scGPT checkpoint as `init`; found {initial.name!r}, which is a text encoder.")
    settings = recipe.settings(initial.checkpoint.settings if initial else None)
    # Heavy to import.
    from scmpt_scverse.encoders.pretraining._corpus import open_corpus
    from scmpt_scverse.encoders.pretraining._fit import fit

    partial = out.with_name(out.name + _PARTIAL_SUFFIX)
    with open_corpus(
        items,
        special_tokens=SPECIAL_TOKENS,
        layer=layer,
        gene_symbols=gene_symbols,
        organism=organism,
        vocabulary=vocabulary,
        initial_vocabulary=initial.checkpoint.vocabulary if initial else None,
        min_cells=recipe.min_cells,
        heldout_size=recipe.heldout_size,
        seed=recipe.seed,
    ) as corpus:
        record = _record(corpus, settings, recipe, initial)
        claim_run(partial, record)
        fitted = fit(
            corpus,
            settings,
            recipe,
            initial.checkpoint if initial else None,
            folder=partial,
            accelerator=accelerator,
            devices=devices,
            strategy=strategy,
            progress=progress,
        )
    if fitted.is_first_process:
        write_folder(
            out,
            settings,
            corpus.vocabulary,
            fitted.encoder_weights if compact else fitted.encoder_weights | fitted.decoder_weights,
            notes={"pretraining": record},
            files={"history.csv": fitted.history.to_csv(index=False)},
            compact=compact,
        )
        shutil.rmtree(partial)
    fitted.wait_for_all()
    return ScGPTEncoder(out)


def _check_out(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"The output {out} exists. Choose another name, or remove it.")
    check_folder(out.absolute().parent)


def _record(
    corpus: "Corpus", settings: "ScGPTSettings", recipe: PretrainingRecipe, initial: ScGPTEncoder | None
) -> dict[str, Any]:
    """Everything that determines the result, as plain values; a run is resumed only if it has the same."""
    return {
        "version": __version__,
        "init": initial.fingerprint if initial else None,
        "data": [study.digest() for study in corpus.studies],
        "vocabulary": hashlib.sha256(json.dumps(corpus.vocabulary).encode()).hexdigest(),
        **recipe.as_json(),
        **asdict(settings),
    }
