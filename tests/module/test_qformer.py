"""The two networks from cells to texts: what they compute, and what they do not look at."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from scmpt_scverse.module import QFormerOptions
from scmpt_scverse.module._qformer import LinearProjector, QFormer

TOKEN_DIM, TEXT_DIM = 6, 5
OPTIONS = QFormerOptions(n_queries=3, width=8, n_layers=2, n_heads=2, dim=4)


@pytest.fixture
def network() -> QFormer:
    torch.manual_seed(0)
    return QFormer(TOKEN_DIM, TEXT_DIM, OPTIONS).eval()


@pytest.fixture
def tokens() -> tuple[Tensor, Tensor]:
    """Of five cells, with two to six tokens."""
    values = torch.randn(5, 6, TOKEN_DIM, generator=torch.Generator().manual_seed(1))
    return values, torch.arange(6) < torch.tensor([2, 3, 4, 5, 6])[:, None]


def test_what_queries_find_is_added_to_a_linear_part(network: QFormer, tokens: tuple[Tensor, Tensor]) -> None:
    values, is_token = tokens
    with torch.no_grad():
        found = network.cells(values, is_token)
        hidden = network.network(
            query_embeds=network.queries.expand(5, -1, -1),
            encoder_hidden_states=network.token_norm(values),
            encoder_attention_mask=is_token.long(),
        ).last_hidden_state
        expected = network.project(hidden) + network.whole(values[:, 0])[:, None]
    torch.testing.assert_close(found, functional.normalize(expected, dim=2))
    assert found.shape == (5, OPTIONS.n_queries, OPTIONS.dim)
    assert not torch.allclose(found[:, 0], found[:, 1], atol=1e-3)  # queries find different things


def test_padding_and_other_cells_change_nothing(network: QFormer, tokens: tuple[Tensor, Tensor]) -> None:
    values, is_token = tokens
    texts = torch.randn(5, TEXT_DIM)
    changed = torch.where(is_token[..., None], values, 100.0)

    def both(rows: slice, values: Tensor, n_tokens: int = 6) -> Tensor:
        some = values[rows, :n_tokens], is_token[rows, :n_tokens]
        return torch.cat([network.cells(*some).flatten(1), network.matches(*some, texts[rows])[:, None]], dim=1)

    with torch.no_grad():
        expected = both(slice(None), values)
        torch.testing.assert_close(both(slice(None), changed), expected)
        torch.testing.assert_close(both(slice(1, 2), values, 3), expected[1:2])
        values[1, 2] = -values[1, 2]  # the last token of the second cell
        assert not torch.allclose(both(slice(None), values)[1], expected[1], atol=1e-3)


def test_it_begins_where_the_linear_map_ended(network: QFormer, tokens: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(3)
    linear = LinearProjector(TOKEN_DIM, TEXT_DIM, OPTIONS)
    texts = torch.randn(4, TEXT_DIM)
    network.start_from(linear)
    with torch.no_grad():
        for query in network.cells(*tokens).unbind(dim=1):
            torch.testing.assert_close(query, linear.cells(*tokens)[:, 0])
        torch.testing.assert_close(network.texts(texts), linear.texts(texts))
        expected = functional.normalize(texts @ linear.text.weight.T, dim=1)
        torch.testing.assert_close(linear.texts(texts), expected)
        expected = functional.normalize(linear.whole(tokens[0][:, 0]), dim=1)
        torch.testing.assert_close(linear.cells(*tokens)[:, 0], expected)
    assert linear.cells(*tokens).shape == (5, 1, OPTIONS.dim)


def test_a_text_that_says_twice_as_much_points_the_same_way(network: QFormer) -> None:
    """Texts are centred, so there is no bias: the mean of all texts is no direction."""
    texts = torch.randn(4, TEXT_DIM)
    with torch.no_grad():
        torch.testing.assert_close(network.texts(2 * texts), network.texts(texts))
        torch.testing.assert_close(network.texts(texts).norm(dim=1), torch.ones(4))
        assert not network.texts(torch.zeros(1, TEXT_DIM)).any()


def test_a_pair_is_judged_by_its_text_and_its_cell(network: QFormer, tokens: tuple[Tensor, Tensor]) -> None:
    values, is_token = tokens
    texts = torch.randn(5, TEXT_DIM)
    with torch.no_grad():
        found = network.matches(values, is_token, texts)
        queries = torch.cat([network.text_token(texts)[:, None], network.queries.expand(5, -1, -1)], dim=1)
        hidden = network.network(
            query_embeds=queries,
            encoder_hidden_states=network.token_norm(values),
            encoder_attention_mask=is_token.long(),
        ).last_hidden_state
        expected = network.match(hidden[:, 0] * (hidden[:, 1] + hidden[:, 2] + hidden[:, 3]) / 3)[:, 0]
        torch.testing.assert_close(found, expected)
        assert not torch.allclose(network.matches(values, is_token, texts.roll(1, 0)), found, atol=1e-4)


def test_every_second_layer_reads_the_tokens_and_options_are_the_shape() -> None:
    network = QFormer(TOKEN_DIM, TEXT_DIM, QFormerOptions(n_queries=3, width=8, n_layers=4, n_heads=2, dim=4))
    names = {name for name, _ in network.network.named_parameters() if "crossattention" in name}
    assert {name.split("layer.")[1].split(".")[0] for name in names} == {"0", "2"}
    shapes = {name: tuple(each.shape) for name, each in network.named_parameters()}
    assert shapes["queries"] == (3, 8)
    assert shapes["network.encoder.layer.3.intermediate_query.dense.weight"] == (16, 8)
    assert shapes["network.encoder.layer.0.crossattention.attention.key.weight"] == (8, TOKEN_DIM)
    assert shapes["project.weight"] == (4, 8)
    assert shapes["text.weight"] == (4, TEXT_DIM)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_dropout_is_as_asked_for_and_only_in_training(share: float, tokens: tuple[Tensor, Tensor]) -> None:
    options = QFormerOptions(n_queries=3, width=8, n_layers=2, n_heads=2, dim=4, dropout=share)
    network = QFormer(TOKEN_DIM, TEXT_DIM, options)
    assert torch.equal(network.cells(*tokens), network.cells(*tokens)) is (share == 0)
    network.eval()
    assert torch.equal(network.cells(*tokens), network.cells(*tokens))


def test_queries_begin_small_and_apart() -> None:
    torch.manual_seed(0)
    queries = QFormer(TOKEN_DIM, TEXT_DIM, QFormerOptions(n_queries=200, width=64, n_heads=2)).queries
    assert queries.std().item() == pytest.approx(0.02, rel=0.05)
    assert queries.mean().item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_queries": 0}, "`n_queries` must be a whole number of at least 1; found 0"),
        ({"n_genes": 1.5}, "`n_genes` must be a whole number of at least 1; found 1.5"),
        ({"width": 30}, "`width` must be a multiple of `n_heads`; found 30 and 4"),
        ({"temperature": 0}, "`temperature` must be above 0; found 0"),
        ({"lr": True}, "`lr` must be above 0; found True"),
        ({"matching": -1.0}, "`matching` must be at least 0; found -1.0"),
        ({"noise": "much"}, "`noise` must be at least 0; found 'much'"),
        ({"dropout": 1.5}, "`dropout` must be a share from 0 to 1; found 1.5"),
        ({"seed": 0.5}, "`seed` must be a whole number of at least 0; found 0.5"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    QFormerOptions(noise=0, matching=0, dropout=0, seed=0)
    with pytest.raises(ValueError, match=words):
        QFormerOptions(**options)
