"""Run the examples at the top of the README on real cells, with what is installed.

`python tests/docs/readme_examples.py`, in an environment with the package and the extras that the README names.
"""

import re
from pathlib import Path

import scanpy as sc

README = Path(__file__).parents[2] / "README.md"


def main() -> None:
    """Both: with a reference, and without."""
    cells = sc.datasets.pbmc68k_reduced()
    cells.layers["counts"] = cells.X = cells.raw.X  # logarithms, which are read as well
    cells.obs["cell_type"], cells.obs["leiden"] = cells.obs["bulk_labels"], cells.obs["louvain"]
    given = {"reference": cells[::2].copy(), "query": cells[1::2].copy()}
    examples = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    for example in examples[:2]:
        exec(example, given)
    query = given["query"]
    accuracy = (query.obs["scmpt_prediction"].astype(str) == query.obs["cell_type"].astype(str)).mean()
    print(f"Accuracy: {accuracy:.3f}; {query.obs['scmmgpt_prediction'].nunique()} types named by text.")
    assert accuracy > 0.7


if __name__ == "__main__":
    main()
