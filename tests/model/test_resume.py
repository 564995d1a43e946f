"""Training of a text model that was killed, and is called again."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tests._llm import make_language_model
from tests._zero_shot import OPTIONS, WordEncoder, markers, two_studies
from tests.generation.conftest import SMALL

from scmpt_scverse import SCMMGPT
from scmpt_scverse.module import WriterOptions

pytest.importorskip("cellxgene_ontology_guide", reason="needs the extra `ontology`")

#: Trains, and is killed after so many states were written.
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.model.test_resume import train
from scmpt_scverse.module import _training_run

left, replace = int(sys.argv[3]), os.replace

def killed(source, target):
    global left
    replace(source, target)
    left -= str(target).endswith(".ckpt")
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = killed
train(sys.argv[1], Path(sys.argv[2]))
"""


def train(stage: str, folder: Path | None) -> dict[str, np.ndarray]:
    """The weights of a stage."""
    cells = two_studies()
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    model = SCMMGPT(cells, text_encoder=WordEncoder())
    is_align = stage == "align"
    how = {"accelerator": "cpu", "progress": False}
    model.train(markers=[markers()], options=OPTIONS, checkpoints=folder if is_align else None, **how)  # type: ignore[arg-type]
    assert model.alignment is not None
    if is_align:
        return model.alignment.arrays()
    if stage == "describe":
        language = make_language_model((folder or Path(tempfile.mkdtemp())).with_name("language"))
        options = WriterOptions(n_tokens=2, max_epochs=6, batch_size=16, cells_per_text=20, max_tokens=32)
        model.train("describe", language_model=language, options=options, checkpoints=folder, **how)  # type: ignore[arg-type]
        assert model.writer is not None
        return model.writer.cells.arrays()
    model.train("generate", options=SMALL, checkpoints=folder, **how)  # type: ignore[arg-type]
    assert model.generator is not None
    return model.generator.arrays()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(("stage", "n_states"), [("align", 5), ("describe", 1), ("generate", 2)])
def test_a_killed_training_gives_the_same_model(tmp_path: Path, stage: str, n_states: int) -> None:
    """Of `"align"`, the fifth state is in the middle of the second of three trainings."""
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, stage, str(folder), str(n_states)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    whole, resumed = train(stage, None), train(stage, folder)
    for name, values in whole.items():
        np.testing.assert_array_equal(values, resumed[name], err_msg=name)


def test_a_folder_is_of_one_training(tmp_path: Path) -> None:
    train("align", tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "run.json",
        "with-all",
        "without-0",
        "without-1",
    ]
    cells = two_studies()[::2].copy()
    SCMMGPT.setup_anndata(cells, "cell_type", batch_key="study")
    other = SCMMGPT(cells, text_encoder=WordEncoder())
    with pytest.raises(ValueError, match="an interrupted run with other data or options"):
        other.train(
            markers=[markers()], options=OPTIONS, checkpoints=tmp_path / "run", accelerator="cpu", progress=False
        )


def test_where_a_stage_is_trained_is_checked(text_model: SCMMGPT, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for options, error, words in (
        ({"devices": 2}, ValueError, "Expected one device as `devices`; found 2"),
        ({"devices": [0, 1]}, ValueError, "Expected one device"),
        ({"precision": "int8"}, ValueError, "Unknown `precision='int8'`"),
        ({"checkpoints": file}, FileExistsError, "found a file"),
    ):
        with pytest.raises(error, match=words):
            text_model.train(markers=[markers()], **options)
