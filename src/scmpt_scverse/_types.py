"""Type aliases shared by all packages."""

from os import PathLike
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
#: An array of Python strings (dtype object, so that pandas 2 and pandas 3 give the same).
StrArray: TypeAlias = npt.NDArray[np.object_]
StrPath: TypeAlias = str | PathLike[str]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
