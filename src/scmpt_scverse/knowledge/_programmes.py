"""Gene programmes that cells of many types switch on: cell states rather than cell types."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from scmpt_scverse.knowledge._markers import read_markers

if TYPE_CHECKING:
    from scmpt_scverse._types import StrPath

_FILE = Path(__file__).parent / "bundled" / "programmes.tsv"


def programmes() -> pd.DataFrame:
    """The programmes that come with this package, in the tidy form of :func:`read_markers`.

    Returns
    -------
    One row per gene, `type` being the programme: the two phases of the cell cycle, interferon response, heat shock,
    immediate-early response, hypoxia, unfolded protein response and NF-kB activation. `source` says where the genes
    come from, and the terms of their use.

    Notes
    -----
    Cell cycle :cite:p:`tirosh2016dissecting`; heat shock and immediate-early response, which tissue dissociation also
    induces :cite:p:`vandenbrink2017single`; the others are selected genes of MSigDB's Hallmark collection
    :cite:p:`liberzon2015molecular`, CC BY 4.0. All but the cell cycle are short selections made by hand and were not
    compared with the published lists; pass those as `programmes=` where it matters. Known marker genes of cell types
    were left out.

    Examples
    --------
    >>> from scmpt_scverse import knowledge
    >>> table = knowledge.programmes()
    >>> sorted(table.loc[table["gene"].isin(["ISG15", "MKI67"]), "type"])
    ['cell cycle G2/M phase', 'interferon response']
    """
    return read_markers(_FILE)


def merged_programmes(
    given: "StrPath | pd.DataFrame | Mapping[str, Sequence[str]] | None",
) -> tuple[pd.DataFrame, frozenset[str]]:
    """The bundled programmes together with those of a user, and the names of the user's programmes.

    Parameters
    ----------
    given
        As :func:`read_markers` takes it; a programme with the name of a bundled one replaces it. `None` adds nothing.
    """
    bundled = programmes()
    if given is None:
        return bundled, frozenset()
    own = read_markers(given)
    names = frozenset(own["type"])
    return pd.concat([bundled[~bundled["type"].isin(names)], own], ignore_index=True), names
