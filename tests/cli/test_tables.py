import pandas as pd
from rich.console import Console

from scmpt_scverse.cli._tables import table_of


def test_values_are_printed_as_they_are() -> None:
    frame = pd.DataFrame(
        {"macro_f1": [0.12345, 1.0], "n_cells": [210.0, 3.0], "is_available_offline": [True, False]},
        index=["T cell [naive]", "B"],
    )
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(table_of(frame, "cells [b]", index="label"))
    lines = capture.get().splitlines()

    assert lines[0].strip() == "cells [b]"
    assert [cell.strip() for cell in lines[2].strip("┃").split("┃")] == ["label", "macro F1", "cells", "here"]
    assert [cell.strip() for cell in lines[4].strip("│").split("│")] == ["T cell [naive]", "0.123", "210", "yes"]
    assert [cell.strip() for cell in lines[5].strip("│").split("│")] == ["B", "1.000", "3", "no"]
