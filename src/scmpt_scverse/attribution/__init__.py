"""Which genes decided: methods that attribute a logit to genes, and measures of whether they are right."""

from scmpt_scverse._registry import Registry

ATTRIBUTORS = Registry(
    "method",
    {
        "integrated_gradients": "scmpt_scverse.attribution._integrated_gradients:IntegratedGradients",
        "occlusion": "scmpt_scverse.attribution._occlusion:Occlusion",
        "lime": "scmpt_scverse.attribution._surrogate:Lime",
        "kernel_shap": "scmpt_scverse.attribution._surrogate:KernelShap",
        "random": "scmpt_scverse.attribution._random:RandomAttribution",
    },
)

__all__ = ["ATTRIBUTORS"]
