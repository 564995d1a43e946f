"""A GPU: encoders beside padding, beside the programs that people use, and beside its own rate; parity with the CPU."""

import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anndata import AnnData
from benchmarks._branches import SCGPT, min_cosine, official_seconds, transformer_flop
from benchmarks._head import measure_head
from benchmarks._measure import Line, best_seconds
from scipy import sparse
from scipy.stats import spearmanr
from sentence_transformers import SentenceTransformer
from tests._scgpt_folder import make_scgpt_folder

from scmpt_scverse import SCMPT, datasets, encoders, pp, tl
from scmpt_scverse.encoders import _scgpt, _sentence_transformer
from scmpt_scverse.pp import ExpressionReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scmpt_scverse._types import FloatArray
    from scmpt_scverse.encoders import Encoder

N_GENES = 20_000
#: Cells of the lines with encoders, and how many of them the CPU embeds for comparison.
N_CELLS, N_COMPARED = 16_384, 128
#: Expressed genes of a cell: about so many, or at least so many.
FEW_GENES, MANY_GENES = 240, 1200

KEY = "attribution"


def measure_gpu(text_model: Path | None) -> "Iterator[Line]":
    """Encoders, training and explaining on the first CUDA device; `text_model` is where MiniLM is not installed."""
    rate = device_gflops(torch.bfloat16)
    yield Line("matrix products, bfloat16", rate, "GFLOP/s")
    yield Line("matrix products, float32", device_gflops(torch.float32), "GFLOP/s")
    few, many = made_cells(N_CELLS, FEW_GENES, spread=0.35), made_cells(N_CELLS // 2, 1.3 * MANY_GENES, spread=0.0)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        scgpt = encoders.get(make_scgpt_folder(work / "scgpt", few.var_names, **SCGPT))
        for cells, n_genes in ((few, FEW_GENES), (many, MANY_GENES)):
            yield from scgpt_lines(scgpt, cells, n_genes, rate, work)
    mini = encoders.get("scgpt-mini")
    real_names = few[:N_COMPARED, : len(mini.vocabulary)].copy()
    real_names.var_names = sorted(mini.vocabulary)[: real_names.n_vars]
    yield from parity("scgpt-mini", mini, real_names)
    for max_genes in (30, 256):
        text = encoders.get(text_model or "minilm", max_genes=max_genes)
        yield from text_lines(f"minilm, {max_genes} genes", text, few)
    yield from model_lines(text, mini)
    yield from measure_head(100_000)


def made_cells(n_cells: int, n_genes: float, *, spread: float) -> AnnData:
    """Counts of genes that are expressed as unequally as real ones are, about `n_genes` in a cell."""
    rng = np.random.default_rng(0)
    share = rng.lognormal(sigma=2.0, size=N_GENES)
    share /= share.sum()
    sizes = (n_genes * rng.lognormal(sigma=spread, size=n_cells)).astype(int).clip(60, N_GENES // 4)
    # The genes of largest noisy share: a draw without replacement.
    columns = [
        np.sort(np.argpartition(np.log(share) + rng.gumbel(size=N_GENES), -size)[-size:]).astype(np.int32)
        for size in sizes
    ]
    counts = 1 + rng.poisson(np.minimum(share[np.concatenate(columns)] * 2000, 200)).astype(np.float32)
    matrix = sparse.csr_matrix(
        (counts, np.concatenate(columns), np.concatenate([[0], np.cumsum(sizes)])), shape=(n_cells, N_GENES)
    )
    cells = AnnData(matrix)
    cells.var_names = [f"GENE{number}" for number in range(N_GENES)]
    return cells


def device_gflops(dtype: torch.dtype) -> float:
    """How fast the GPU multiplies 65,536 x 512 by 512 x 1536 random numbers, in 1e9 operations a second."""
    rows, weight = (torch.randn(shape, device="cuda").to(dtype) for shape in ((65536, 512), (512, 1536)))
    seconds = best_seconds(synchronised(lambda: [rows @ weight for _ in range(20)]), repeats=5)
    return round(20 * 2 * 65536 * 512 * 1536 / seconds / 1e9)


def synchronised(run: Callable[[], object]) -> Callable[[], object]:
    """The same, ending when the GPU has ended."""

    def both() -> object:
        result = run()
        torch.cuda.synchronize()
        return result

    return both


@contextmanager
def padding() -> "Iterator[None]":
    """Encoders pad their tokens, as they do where a torch has no variable-length attention."""
    packs = _scgpt.packs_tokens
    _scgpt.packs_tokens = _sentence_transformer.packs_tokens = lambda device, _: device.type == "cpu"  # type: ignore[assignment]
    try:
        yield
    finally:
        _scgpt.packs_tokens = _sentence_transformer.packs_tokens = packs


def scgpt_lines(scgpt: "Encoder", cells: AnnData, n_genes: int, rate: float, work: Path) -> list[Line]:
    """The network, beside itself with padding and its rate; from AnnData to embeddings, beside the official package."""
    name = f"scGPT 12 x 512, {n_genes} genes"
    tokens = scgpt.prepare(ExpressionReader(cells).rows(0, cells.n_obs))
    gflop = transformer_flop(tokens.lengths + 1, 512, 512, 12, cls_only=True) / 1e9
    packed = seconds_of(scgpt, tokens)
    with padding():
        padded = seconds_of(scgpt, tokens)
    whole = best_seconds(lambda: embedded(cells, scgpt), repeats=2)
    n = cells.n_obs
    cells.write_h5ad(work / "cells.h5ad")
    official = official_seconds(work, work / "scgpt", "cuda")
    official_rate = n / official if official else None
    return [
        Line(f"{name}: network", n / packed, "cells/s", "padded", n / padded, padded / packed),
        Line(f"{name}: of the matrix rate", gflop / packed, "GFLOP/s", "", None, gflop / packed / rate),
        Line(
            f"{name}: tl.embed",
            n / whole,
            "cells/s",
            "official embed_data",
            official_rate,
            n / whole / official_rate if official_rate else None,
        ),
        *parity(name, scgpt, cells[:N_COMPARED].copy()),
    ]


def text_lines(name: str, encoder: "Encoder", cells: AnnData) -> list[Line]:
    """A text encoder from AnnData to embeddings, beside the library on sentences that are there already."""
    some = cells[: N_CELLS // 4].copy()
    texts = [" ".join(text.split(" ")[: encoder.max_genes]) for text in pp.cell_sentences(some)]
    whole = best_seconds(lambda: embedded(some, encoder), repeats=2)
    with padding():
        padded = best_seconds(lambda: embedded(some, encoder), repeats=2)
    lines = [Line(f"{name}: tl.embed", some.n_obs / whole, "cells/s", "padded", some.n_obs / padded, padded / whole)]
    for dtype in (torch.float32, torch.bfloat16):
        library = SentenceTransformer(
            str(encoder.folder), device="cuda", local_files_only=True, model_kwargs={"dtype": dtype}
        )

        def encode(library: SentenceTransformer = library) -> None:
            library.encode(texts, batch_size=256, show_progress_bar=False)

        peer = best_seconds(encode, repeats=2)
        what = f"SentenceTransformer.encode, {str(dtype).removeprefix('torch.')}"
        lines.append(Line(f"{name}: tl.embed", some.n_obs / whole, "cells/s", what, some.n_obs / peer, peer / whole))
    return [*lines, *parity(name, encoder, some[:N_COMPARED].copy())]


def parity(name: str, encoder: "Encoder", cells: AnnData) -> list[Line]:
    """The lowest cosine of a cell's embeddings from the GPU and from the CPU in float32."""
    on_cpu = embedded(cells, encoder, device="cpu", precision="float32")
    lines = []
    for precision, bar in (("float32", ">= 0.99999"), ("bfloat16", ">= 0.999")):
        cosine = min_cosine(embedded(cells, encoder, precision=precision), on_cpu)
        lines.append(Line(f"{name}: GPU, {precision}, to CPU", cosine, "cosine", "", None, cosine, bar))
    return lines


def model_lines(text: "Encoder", expression: "Encoder") -> list[Line]:
    """The recommended model on 700 cells, trained and explained on the GPU and on the CPU."""
    cells = datasets.pbmc68k_reduced()
    fitted: dict[str, Any] = {}
    seconds: dict[str, dict[str, float]] = {"training": {}, "explaining": {}}
    for device in ("cpu", "gpu"):
        own = cells.copy()
        SCMPT.setup_anndata(own, "bulk_labels")
        model = SCMPT(own, encoders={"text": text, "expression": expression, "counts": "counts"})
        model.embed()
        seconds["training"][device] = best_seconds(
            lambda model=model, device=device: model.train(accelerator=device),  # type: ignore[misc]
            repeats=2,
        )
        some = own[:64].copy()
        target = "cuda" if device == "gpu" else "cpu"
        options = {"device": target, "per_cell": True, "key_added": KEY, "progress": False}
        seconds["explaining"][device] = best_seconds(
            lambda model=model, some=some, options=options: model.rank_attributions(some, **options),  # type: ignore[misc]
            repeats=1,
        )
        fitted[device] = (model.predict(soft=True).to_numpy(), some.layers[KEY].toarray())
    soft, genes = zip(fitted["cpu"], fitted["gpu"], strict=True)
    correlations = [spearmanr(one, other).statistic for one, other in zip(*genes, strict=True)]
    return [
        *(
            Line(f"{what} SCMPT", by["gpu"], "s", "the CPU of this machine", by["cpu"], by["cpu"] / by["gpu"])
            for what, by in seconds.items()
        ),
        Line("same labels, GPU to CPU", float(np.mean(soft[0].argmax(1) == soft[1].argmax(1))), "share"),
        Line("largest difference of a probability, GPU to CPU", float(np.abs(soft[0] - soft[1]).max()), "share"),
        Line("rank correlation of attributions, GPU to CPU", float(np.median(correlations)), "cosine"),
    ]


def embedded(cells: AnnData, encoder: "Encoder", **options: Any) -> "FloatArray":
    """From AnnData to embeddings."""
    tl.embed(cells, encoder, **({"device": "cuda", "cache": False, "progress": False} | options))
    rows: FloatArray = cells.obsm[f"X_{encoder.name}"]
    return rows


def seconds_of(encoder: "Encoder", prepared: Any) -> float:
    """Seconds of the network on prepared cells."""
    encoder.encode(prepared.take(np.arange(64)), device="cuda")
    return best_seconds(synchronised(lambda: encoder.encode(prepared, device="cuda")))
