"""Gene lists from users, parsed by the same rules as the names in data."""

from collections.abc import Collection, Iterable

from scmpt_scverse._checks import check_no_cells, did_you_mean, list_some, type_name
from scmpt_scverse.pp._gene_names import read_one_name

_N_SUGGESTED = 3


def read_gene_list(genes: Iterable[object], argument: str) -> list[str]:
    """The distinct gene symbols of a list, in order.

    Anything attached to a symbol, such as a genome or an identifier, is removed, as for data.

    Raises
    ------
    TypeError
        `genes` is not a list.
    ValueError
        The list is empty, or a name is missing or an identifier of another system.
    """
    check_no_cells(genes, argument)
    if isinstance(genes, str | bytes) or not isinstance(genes, Iterable):
        raise TypeError(f"Expected a list of gene symbols as `{argument}`; found {type_name(genes)}. Pass a list.")
    listed = list(genes)
    read = [read_one_name(name) for name in listed]
    wrong = [name for name, found in zip(listed, read, strict=True) if not found.symbol]
    if wrong:
        systems = list(dict.fromkeys(found.system for found in read if found.system is not None))
        kinds = " and ".join(system.name for system in systems) or "missing names"
        advice = systems[0].advice if systems else "Leave them out."
        raise ValueError(
            f"Expected gene symbols in `{argument}`; found {kinds} such as {list_some(wrong, 3)}. {advice}"
        )
    if not read:
        raise ValueError(f"Expected at least one gene in `{argument}`; found none. Pass gene symbols.")
    return list(dict.fromkeys(found.symbol for found in read))


def check_known_genes(genes: Iterable[str], known: Collection[str], argument: str, where: str) -> None:
    """Raise `ValueError` if some of the listed genes are not among the `known` ones, and suggest others."""
    known = set(known)
    unknown = [gene for gene in genes if gene not in known]
    if not unknown:
        return
    by_spelling = {gene.upper(): gene for gene in known}
    hints = []
    for gene in unknown[:_N_SUGGESTED]:
        same = by_spelling.get(gene.upper())
        hints.append(f" Did you mean {same!r}?" if same else did_you_mean(gene, known))
    raise ValueError(
        f"Expected genes of {where} in `{argument}`; found {list_some(unknown)}, which it does not have."
        f"{''.join(dict.fromkeys(hints))} Leave them out, or write symbols as {where} does, such as "
        f"{list_some(sorted(known - {''})[:_N_SUGGESTED])}."
    )
