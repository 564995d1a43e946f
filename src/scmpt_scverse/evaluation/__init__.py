"""Evaluation without data leakage: splits, and simple predictors to compare a model with on the same cells."""

from scmpt_scverse.evaluation._baselines import baseline_probabilities
from scmpt_scverse.evaluation._comparison import (
    DEFAULT_BASELINES as DEFAULT_BASELINES,
    BaselineCells as BaselineCells,
    check_baselines as check_baselines,
    compare_baselines as compare_baselines,
    decode as decode,
    read_expression as read_expression,
    results_of as results_of,
)
from scmpt_scverse.evaluation._components import VariableComponents as VariableComponents
from scmpt_scverse.evaluation._cross_validate import (
    DEFAULT_GRID as DEFAULT_GRID,
    advice_from as advice_from,
    check_train_options as check_train_options,
    checked_grid as checked_grid,
    cross_validate as cross_validate,
    search as search,
    subsample as subsample,
)
from scmpt_scverse.evaluation._splits import cell_splits
from scmpt_scverse.evaluation._types_apart import (
    predicted_out_of_fold as predicted_out_of_fold,
    sample_of_types as sample_of_types,
    types_apart as types_apart,
)

__all__ = ["baseline_probabilities", "cell_splits"]
