"""An attributor from its registered name, its class, or as it is."""

from typing import Any

from scmpt_scverse._checks import check_seed
from scmpt_scverse._registry import Registry
from scmpt_scverse.attribution._base import Attributor

ATTRIBUTORS = Registry(
    "method",
    {
        "integrated_gradients": "scmpt_scverse.attribution._integrated_gradients:IntegratedGradients",
        "occlusion": "scmpt_scverse.attribution._occlusion:Occlusion",
        "lime": "scmpt_scverse.attribution._surrogate:Lime",
        "kernel_shap": "scmpt_scverse.attribution._surrogate:KernelShap",
        "random": "scmpt_scverse.attribution._random:RandomAttribution",
    },
    group="scmpt_scverse.attributors",
)


def get(method: str | type[Attributor] | Attributor, *, seed: int = 0, **options: Any) -> Attributor:
    """The attributor that a `method=` argument stands for.

    Parameters
    ----------
    method
        A registered name (`"integrated_gradients"`, `"occlusion"`, `"lime"`, `"kernel_shap"`, `"random"`, or one that
        another package registered under the entry points `scmpt_scverse.attributors`), a class, or an instance.
    seed
        Seed of the random draws of a name or class; an instance keeps its own.
    **options
        Options of a name or class, such as `n_steps` or `n_samples`.

    Raises
    ------
    ValueError
        An unknown name; the error lists the names.
    TypeError
        Neither name, class nor instance of :class:`Attributor`; or options for an instance.

    Examples
    --------
    >>> from scmpt_scverse import attribution
    >>> attribution.get("integrated_gradients", n_steps=20).is_complete
    True
    """
    check_seed(seed)
    if isinstance(method, Attributor):
        return ATTRIBUTORS.build(method, Attributor, **options)  # type: ignore[type-abstract]
    return ATTRIBUTORS.build(method, Attributor, seed=seed, **options)  # type: ignore[type-abstract]


def method_name(method: str | type[Attributor] | Attributor) -> str:
    """What tables and records call a method: its registered name, or the name of its class."""
    if isinstance(method, str):
        return method
    return method.__name__ if isinstance(method, type) else type(method).__name__
