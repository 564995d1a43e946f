"""The command that asks a language model. What is heavy to import is imported inside it."""

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from scmpt_scverse._folders import check_appendable
from scmpt_scverse._h5ad import check_storable, read_cells
from scmpt_scverse.cli._files import check_output, save_cells
from scmpt_scverse.cli._group import is_interactive
from scmpt_scverse.cli._labels_file import given_labels
from scmpt_scverse.cli._models import check_labels, is_text_model, read_model, read_text_model
from scmpt_scverse.cli._options import (
    Force,
    InFile,
    LabelsFile,
    Model,
    OrthologsFile,
    OutFile,
    QueryGeneSymbols,
    QueryLayer,
    QueryOrganism,
    TextLabels,
    Tissue,
    check_only_for_text_models,
    checked_choice,
)
from scmpt_scverse.cli._species import chosen_organism, where_read
from scmpt_scverse.cli._tables import table_of
from scmpt_scverse.llm import CLIENTS, LLMClient, get

if TYPE_CHECKING:
    from scmpt_scverse import SCMMGPT, SCMPT


def refine(
    model_dir: Model,
    source: InFile,
    output: OutFile,
    llm: Annotated[
        str | None,
        typer.Option(
            help="Chat model, folder of a local model, or file of answers; for other clients, their first option.",
            show_default=False,
        ),
    ] = None,
    client: Annotated[
        str, typer.Option(help="Client: openai, transformers, recorded, or a name from another package.")
    ] = "openai",
    base_url: Annotated[str | None, typer.Option(help="Address of the server.", show_default="OpenAI's")] = None,
    api_key_variable: Annotated[
        str | None,
        typer.Option(help="Environment variable with the key.", show_default="OPENAI_API_KEY, for OpenAI only"),
    ] = None,
    price: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Price per million input and output tokens.", metavar="IN OUT", show_default=False),
    ] = None,
    organism: QueryOrganism = None,
    orthologs: OrthologsFile = None,
    layer: QueryLayer = None,
    gene_symbols: QueryGeneSymbols = None,
    weight: Annotated[
        float | None,
        typer.Option(help="Weight of the language model.", show_default="fitted on labelled cells"),
    ] = None,
    labels: TextLabels = None,
    labels_file: LabelsFile = None,
    tissue: Tissue = None,
    labels_key: Annotated[
        str | None,
        typer.Option(help="Text models: column of .obs with labels to fit the weight on.", show_default=False),
    ] = None,
    cluster_key: Annotated[str | None, typer.Option(help="Ask about these clusters instead of cells.")] = None,
    candidates: Annotated[int, typer.Option(min=2, help="Number of labels to choose from.")] = 3,
    confidence_below: Annotated[float, typer.Option(help="Ask about cells with a confidence below this.")] = 0.9,
    context: Annotated[str | None, typer.Option(help="Tissue, condition and the like, sent to the model.")] = None,
    max_calls: Annotated[int, typer.Option(min=1, help="Maximum number of requests.")] = 1000,
    max_cost: Annotated[float | None, typer.Option(help="Maximum cost; needs --price.")] = None,
    answers: Annotated[
        Path | None, typer.Option(help="File of answers.", metavar="FILE.jsonl", show_default="in the cache folder")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report calls, tokens and price; ask and write nothing.")
    ] = False,
    force: Force = False,
) -> None:
    """Ask a language model about cells on which the saved model is unsure, and mix both.

    A text model takes the labels from you, as for `scmpt annotate`, and needs `--weight` or `--labels-key`. Only gene
    symbols, labels, their probabilities and the context are sent. Answers are kept, so that nothing is paid for twice.

    Example: `scmpt refine my_model cells.h5ad refined.h5ad --llm qwen3:8b --base-url http://localhost:11434/v1`
    """
    checked_choice(client, CLIENTS.names(), "--client")
    check_output(output, source=source, force=force)
    if answers is not None:
        check_appendable(answers)
    is_text = is_text_model(model_dir)
    of_text: dict[str, Any] = {}
    if is_text:
        of_text = {"labels": given_labels(labels, labels_file, tissue), "tissue": tissue, "labels_key": labels_key}
        if weight is None and labels_key is None and not dry_run:
            raise typer.BadParameter("A text model needs it, or --labels-key.", param_hint="--weight")
    else:
        given = {"--labels": labels, "--labels-file": labels_file, "--tissue": tissue, "--labels-key": labels_key}
        check_only_for_text_models(model_dir, given)
    species = chosen_organism(organism, orthologs)
    asked = _client(client, llm, {"base_url": base_url, "api_key_variable": api_key_variable, "price": price})
    model: SCMPT | SCMMGPT
    if is_text:
        model = read_text_model(model_dir)
        check_labels(model, of_text["labels"], tissue)
    else:
        model = read_model(model_dir)
    adata = read_cells(source)
    check_storable(adata)
    report = model.refine(
        adata,
        asked,
        candidates=candidates,
        cells="uncertain" if cluster_key is None else "clusters",
        cluster_key=cluster_key,
        confidence_below=confidence_below,
        max_calls=max_calls,
        max_cost=max_cost,
        dry_run=dry_run,
        context=context,
        **where_read(adata, model.registry, layer, gene_symbols, species),
        weight=weight,
        cache_path=answers,
        progress=is_interactive(),
        **of_text,
    )
    typer.echo(report)
    if dry_run:
        return
    if report.scores is not None:
        Console().print(table_of(report.scores, "On the labelled cells that it was asked about", index="predictor"))
    save_cells(adata, output)
    typer.echo(f"Mixed with weight {report.weight:g}: {output}")


def _client(name: str, llm: str | None, options: dict[str, Any]) -> LLMClient:
    """The client of that name; `--llm` is its first option, whatever it is called."""
    given = {key: value for key, value in options.items() if value is not None}
    if llm is not None:
        kind = CLIENTS.load(name)
        given[next(iter(signature(kind).parameters), "llm") if callable(kind) else "llm"] = llm
    try:
        return get(name, **given)
    except TypeError as error:
        raise typer.BadParameter(str(error), param_hint="--client") from error
