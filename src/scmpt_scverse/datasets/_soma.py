"""Open a SOMA experiment, such as a release of the CELLxGENE Census, and say plainly what is wrong with a query."""

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scmpt_scverse._checks import check_choice, check_key, did_you_mean, list_some
from scmpt_scverse._optional import import_optional

if TYPE_CHECKING:
    from types import ModuleType

#: The long-term release of November 2025, which is to stay for five years.
DEFAULT_RELEASE = "2025-11-08"
#: Experiments of a release by species.
_EXPERIMENTS = {
    "human": "homo_sapiens",
    "mouse": "mus_musculus",
    "marmoset": "callithrix_jacchus",
    "rhesus macaque": "macaca_mulatta",
    "chimpanzee": "pan_troglodytes",
}
_RELEASE = re.compile(r"\d{4}-\d{2}-\d{2}")
_RELEASES = "s3://cellxgene-census-public-us-west-2/cell-census"
#: How the public bucket is read; and what one read may hold of each column, of which the library's own 1 GB is too much
#: where a file is written part by part.
_CONFIG = {
    "vfs.s3.region": "us-west-2",
    "vfs.s3.no_sign_request": "true",
    "soma.init_buffer_bytes": str(64 << 20),
}


@contextmanager
def opened_experiment(source: str, organism: str) -> Iterator[Any]:
    """The experiment of a species in a release of the Census, or one that is stored elsewhere.

    Parameters
    ----------
    source
        Date of a release; or path or URI of an experiment, or of a copy of a release.
    organism
        Species of the cells, in a release.

    Raises
    ------
    ConnectionError
        The release cannot be reached.
    FileNotFoundError
        There is nothing.
    ImportError
        The library is not installed.
    ValueError
        It is no experiment.
    """
    soma = import_optional("tiledbsoma", extra="census", purpose="Reading the CELLxGENE Census")
    check_choice(organism, list(_EXPERIMENTS), "organism")
    if source in {"stable", "latest"}:
        raise ValueError(
            f"Expected a release by its date as `source`; found {source!r}, which is another one next year. Pass for "
            f"instance {DEFAULT_RELEASE!r}."
        )
    is_release = _RELEASE.fullmatch(source) is not None
    uri = f"{_RELEASES}/{source}/soma/census_data/{_EXPERIMENTS[organism]}" if is_release else source
    context = soma.SOMATileDBContext(tiledb_config=_CONFIG)
    try:
        found = soma.open(uri, context=context)
    except soma.DoesNotExistError as error:
        advice = "Long-term releases are 2025-11-08, 2025-01-30 and 2024-07-01" if is_release else "Check the path"
        raise FileNotFoundError(
            f"Expected a SOMA experiment as `source={source!r}`; found none at {uri}. {advice}."
        ) from error
    except (soma.SOMAError, RuntimeError) as error:
        raise _unreadable(uri, error) from error
    with found:
        if type(found) is soma.Collection and "census_data" in found:  # a copy of a release
            species = found["census_data"]
            check_key(_EXPERIMENTS[organism], species.keys(), f"{uri}/census_data")
            found = species[_EXPERIMENTS[organism]]
        if not isinstance(found, soma.Experiment):
            raise ValueError(
                f"Expected a SOMA experiment as `source={source!r}`; found a {type(found).__name__}. Pass the URI of "
                "the experiment."
            )
        with _reading(soma, uri):
            yield found


def matrix_of(experiment: Any, measurement: str, layer: str) -> Any:
    """A matrix of an experiment; `KeyError` where there is none of that name."""
    check_key(measurement, experiment.ms.keys(), "experiment.ms")
    layers = experiment.ms[measurement].X
    check_key(layer, layers.keys(), f"experiment.ms[{measurement!r}].X")
    return layers[layer]


def check_filter(obs: Any, obs_filter: str) -> None:
    """Refuse, before anything is read, a filter that the library would refuse or that no cell can pass.

    Parameters
    ----------
    obs
        The table that is filtered.
    obs_filter
        Comparisons of columns with values, joined by `and` and `or`.

    Raises
    ------
    KeyError
        It names a column that the table does not have.
    ValueError
        It is no filter, or a value is none of those of the column.
    """
    try:
        tree = ast.parse(obs_filter.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise ValueError(
            f"Expected comparisons such as `tissue_general == 'blood' and disease == 'normal'` as `obs_filter`; found "
            f"{obs_filter!r} ({error.args[0]}). Join them by `and` and `or`, compare with `==`, `!=`, `in`, `<` or "
            "`>`, and put text in quotes."
        ) from error
    columns = obs.schema.names
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}  # attr('a name with spaces')
    for compared in (node for node in ast.walk(tree) if isinstance(node, ast.Compare)):
        for node in ast.walk(compared):
            if isinstance(node, ast.Name) and node not in called:
                check_key(node.id, columns, "experiment.obs", hint=" Text has quotes.")
        if isinstance(compared.left, ast.Name) and isinstance(compared.ops[0], ast.Eq | ast.In):
            _check_values(obs, compared.left.id, compared.comparators[0])


def _check_values(obs: Any, column: str, compared: ast.expr) -> None:
    """A category that no cell has is a typing error, which would find nothing, or quietly less."""
    field = obs.schema.field(column)
    if not hasattr(field.type, "dictionary") and not hasattr(field.type, "value_type"):
        return
    nodes = compared.elts if isinstance(compared, ast.List | ast.Tuple | ast.Set) else [compared]
    wanted = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if not wanted:
        return
    known = obs.get_enumeration_values([column])[column].to_pylist()
    for value in wanted:
        if value not in known:
            raise ValueError(
                f"Expected a value of `{column}` in `obs_filter`; found {value!r}. The column has "
                f"{list_some(known)}.{did_you_mean(value, known)}"
            )


@contextmanager
def _reading(soma: "ModuleType", uri: str) -> Iterator[None]:
    """What goes wrong in the library as an error that says where."""
    try:
        yield
    except soma.SOMAError as error:
        text = _reason(error)
        if "QueryCondition" in text or "comparison" in text or "expression component" in text:
            raise ValueError(
                f"Expected comparisons of columns with values as `obs_filter`; found something else ({text}). Put text "
                "in quotes, as in `disease == 'normal'`."
            ) from error
        raise _unreadable(uri, error) from error
    except RuntimeError as error:
        if type(error) is not RuntimeError:  # a class of its own is somebody else's
            raise
        raise _unreadable(uri, error) from error


def _unreadable(uri: str, error: Exception) -> Exception:
    if "://" in uri and not uri.startswith("file:"):
        return ConnectionError(
            f"Expected to read {uri}; found that it cannot be reached ({_reason(error)}). Check the network, or pass "
            "the path of a copy as `source`."
        )
    return ValueError(
        f"Expected a SOMA experiment at {uri}; found one that cannot be read ({_reason(error)}). Copy it again."
    )


def _reason(error: Exception) -> str:
    """The first line of what the library says: a stack of its own calls follows."""
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
