"""The cells that `scgpt-mini` was pre-trained on: the one list that pages, marks and the leave-out check read."""

from dataclasses import dataclass

#: The bundled encoder that was trained on them.
ENCODER = "scgpt-mini"


@dataclass(frozen=True)
class CorpusFile:
    """One file of the corpus.

    Attributes
    ----------
    name
        File name, as in the folder of the accuracy benchmark.
    study
        Files of one study share cells or donors, so they are left out together.
    title, source
        For the page about the encoder.
    n_cells, n_genes
        Shape of the file.
    digest
        What the encoder's `args.json` records of it.
    """

    name: str
    study: str
    title: str
    source: str
    n_cells: int
    n_genes: int
    digest: str


#: In the order in which they were passed to `scmpt pretrain`.
CORPUS = (
    CorpusFile(
        "pbmc_zheng_facs.h5ad",
        "zheng",
        "sorted PBMC",
        "10x Genomics, {cite:t}`zheng2017pbmc`; by way of fastTopics (BSD-2-Clause), `stephenslab/fastTopics`",
        3874,
        16791,
        "af97947882690bbf09e3aa07f7f823f1e0f316ef97db16f2b5d5ea14e346a429",
    ),
    CorpusFile(
        "pbmc_kang_ifnb.h5ad",
        "kang",
        "PBMC, control and interferon beta",
        "GSE96583, {cite:t}`kang2018demuxlet`; by way of muscat (GPL-3), `HelenaLC/muscat`",
        1556,
        1267,
        "75cd86912b2d509baa1eadea652a466b4f34a33c541e1268206e4cb1803e1cd8",
    ),
    CorpusFile(
        "pbmc_kang_harmony_partly_labelled.h5ad",
        "kang",
        "PBMC, control and interferon beta",
        "the same study, 114 cells of which are in the row above; by way of harmony (GPL-3), `immunogenomics/harmony`",
        2000,
        9015,
        "1305f9f6adb0631856ad17d81692709f3925b333c3c6a2fd973172fafc1dcc15",
    ),
    CorpusFile(
        "pancreas_xin.h5ad",
        "xin",
        "pancreatic islets",
        "GSE81608, {cite:t}`xin2016islets`; by way of scClassify (GPL-3), `SydneyBioX/scClassify`",
        674,
        980,
        "4a513791ca25250e4a0c5a902dc6abd2451b98c03e01d85d7b2f40896b410612",
    ),
    CorpusFile(
        "celllines_sc_mixology.h5ad",
        "cell lines",
        "five lung cancer cell lines",
        "GSE118767, {cite:t}`tian2019mixology`; `LuyiTian/sc_mixology` (MIT)",
        1021,
        11216,
        "45edd3bb053819ea66b6bef7850b9e3388e250aa316d11ae28bad01502c2fd04",
    ),
    CorpusFile(
        "embryo_yan.h5ad",
        "embryo",
        "early embryos",
        "GSE36552, {cite:t}`yan2013embryo`; by way of scmap (GPL-3), `hemberg-lab/scmap`",
        90,
        20214,
        "205139b759367011d39a889c3d445280999295d4c168c248b5ddc743c09d1557",
    ),
    CorpusFile(
        "brain_allen_neun_facs.h5ad",
        "brain",
        "brain nuclei",
        "Allen Institute; by way of pcmp (Artistic-2.0), `vjcitn/pcmp`",
        1800,
        2023,
        "f837f2385bcab08dca0774b8c34a378593925178a942d041e6ef205230ec8609",
    ),
)
#: Studies by name, each with its files.
STUDIES = {
    study: tuple(file.name for file in CORPUS if file.study == study)
    for study in dict.fromkeys(file.study for file in CORPUS)
}
