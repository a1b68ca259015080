"""Networks on tokens, the probes of their attention, and the text they read, against what can be worked out by hand."""

import hashlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pooch
import pytest
import torch
from small_experiments import config, runs_of
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from warmup_study import tasks
from warmup_study.errors import StudyError
from warmup_study.tasks import layers, text
from warmup_study.tasks.networks import Attention, FixedMixing, Transformer, convolutional
from warmup_study.training import ensemble
from warmup_study.training.full_batch import FullBatch
from warmup_study.training.group_losses import GroupLosses
from warmup_study.training.probes import ProbeName, UpdateContext
from warmup_study.training.probes.attention import attention_entropy, attention_logit

NETS = ("transformer", "mixer", "transformer-pre", "mixer-pre")


def weights(model: nn.Module) -> int:
    return sum(part.numel() for part in model.parameters())


def batch_first(layer: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """A layer of the study, which has its examples last, on tokens [batch, T, D]."""
    passed: torch.Tensor = layer(tokens.permute(2, 1, 0))
    return passed.permute(2, 1, 0)


TORCHS = {
    "linear": (layers.Linear(5, 7), nn.Linear(5, 7)),
    "norm": (layers.LayerNorm(5), nn.LayerNorm(5)),
    "convolution": (layers.Conv1d(5, 4, 3, stride=2, padding=1), nn.Conv1d(5, 4, 3, stride=2, padding=1)),
}


@pytest.mark.parametrize("kind", TORCHS)
def test_layers_with_examples_last_are_torchs(kind: str) -> None:
    torch.manual_seed(0)
    (ours, theirs), tokens = TORCHS[kind], torch.randn(6, 11, 5)
    theirs.load_state_dict(ours.state_dict())
    if kind == "convolution":
        torch.testing.assert_close(ours(tokens.permute(2, 1, 0)).permute(2, 0, 1), theirs(tokens.mT))
    else:
        torch.testing.assert_close(batch_first(ours, tokens), theirs(tokens))


def test_a_contraction_is_the_same_traced_and_run() -> None:
    def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return layers.contracted("hdib,hdjb->hijb", "hdijb", left, right)

    factors = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    traced = make_fx(product)(*factors)
    assert not traced.graph.find_nodes(op="call_function", target=torch.ops.aten.bmm.default)
    torch.testing.assert_close(traced(*factors), product(*factors))


@pytest.mark.parametrize(("data", "sizes"), [("digits", (4954, 4890)), ("mnist1d", (4858, 4170))])
def test_the_net_without_attention_is_nearly_as_large(data: str, sizes: tuple[int, int]) -> None:
    for places in ("", "-pre"):
        extra = 32 if places else 0  # the norm before the head
        found = [weights(tasks.load(f"{data}-{net}{places}").model()) - extra for net in ("transformer", "mixer")]
        assert tuple(found) == sizes


def test_attention_is_torchs() -> None:
    torch.manual_seed(0)
    ours, tokens = Attention(8, 2), torch.randn(3, 5, 8)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.to_qkv.weight,
            "in_proj_bias": ours.to_qkv.bias,
            "out_proj.weight": ours.to_out.weight,
            "out_proj.bias": ours.to_out.bias,
        }
    )
    torch.testing.assert_close(batch_first(ours, tokens), theirs(tokens, tokens, tokens)[0])
    ours.causal, ahead = True, torch.ones(5, 5, dtype=torch.bool).triu(1)
    torch.testing.assert_close(batch_first(ours, tokens), theirs(tokens, tokens, tokens, attn_mask=ahead)[0])


def test_fixed_mixing_is_attention_with_weights_that_heed_no_input() -> None:
    torch.manual_seed(0)
    mixing, tokens = FixedMixing(8, 2, tokens=5), torch.randn(3, 5, 8)
    values = batch_first(mixing.to_values, tokens)
    heads = [mixing.weights[head] @ values[..., 4 * head : 4 * head + 4] for head in (0, 1)]
    torch.testing.assert_close(batch_first(mixing, tokens), batch_first(mixing.to_out, torch.cat(heads, dim=-1)))


@pytest.mark.parametrize("mixing", ["attention", "fixed"])
def test_a_causal_net_does_not_look_ahead(mixing: Any) -> None:
    torch.manual_seed(0)
    model = Transformer(6, 9, 9, norm="pre", mixing=mixing, causal=True)
    before = torch.tensor([[1, 2, 3, 4, 5, 6]])
    after = before.clone()
    after[0, 4] = 8
    changed = (model(before) != model(after)).any(-1)[0]
    assert changed.tolist() == [False, False, False, False, True, True]


@pytest.mark.parametrize(("norm", "unit"), [("post", True), ("pre", False)])
def test_post_ln_normalises_the_stream_and_pre_ln_the_branches(norm: Any, unit: bool) -> None:
    torch.manual_seed(0)
    model = Transformer(16, 4, 10, norm=norm)
    stream = model.blocks(10 * torch.randn(16, 16, 2))
    assert torch.allclose(stream.std(0, unbiased=False), torch.ones(16, 2), atol=1e-3) is unit


def test_convolutions_see_the_whole_signal() -> None:
    torch.manual_seed(0)
    model, signals = convolutional(40, 10), torch.randn(20, 40, requires_grad=True)
    model(signals).square().sum().backward()
    assert signals.grad is not None and (signals.grad != 0).any(0).all() and weights(model) == 2314


def context(*layers: list[list[float]]) -> UpdateContext:
    """One run whose attention logits, of one head on one example, are given layer by layer."""
    logits = tuple(torch.tensor(layer)[None, None, None] for layer in layers)
    fake = SimpleNamespace(attention_logits=lambda _: logits)
    none: dict[str, torch.Tensor] = {}
    return UpdateContext(none, none, {}, {}, torch.ones(1), cast(FullBatch, fake), cast(GroupLosses, None))


def test_entropy_and_logit_by_hand() -> None:
    even, sure, masked = [[2.0, 2.0], [2.0, 2.0]], [[100.0, 0.0], [0.0, -100.0]], [[3.0, -math.inf], [0.0, 0.0]]
    assert attention_entropy(context(even)).item() == pytest.approx(1)
    assert attention_entropy(context(sure)).item() == pytest.approx(0, abs=1e-6)
    assert attention_entropy(context(even, sure)).item() == pytest.approx(0.5)
    assert attention_entropy(context(masked)).item() == pytest.approx(1)  # the row with one place does not count
    skewed = [[math.log(3), 0.0], [math.log(3), 0.0]]
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert attention_entropy(context(skewed)).item() == pytest.approx(expected)
    assert attention_logit(context(even, sure)).item() == 100 and attention_logit(context(masked)).item() == 3
    assert attention_logit(context([[math.nan, 0.0], [0.0, 0.0]])).isnan().all()


def test_probes_follow_the_net_that_is_trained() -> None:
    names: tuple[ProbeName, ...] = ("attention_logit", "attention_entropy", "gradient_head")
    shared = config(2, 16, 2, "digits-transformer", probed=(1,), probes=names)
    traces = ensemble.train(shared, runs_of("adam", 1e-3, (3, 4)), dtype=torch.float64)
    task = tasks.load("digits-transformer").of_seed(4)
    torch.manual_seed(4)
    model, train = task.model().double(), task.splits.train
    head = [part for name, part in model.named_parameters() if name.startswith("head.")]
    slope = torch.autograd.grad(task.loss(model(train.inputs.double()), train.targets), head)
    norm = torch.cat([part.flatten() for part in slope]).norm()
    assert traces.probes["gradient_head"][0, 1].item() == pytest.approx(norm.item())
    entropy = traces.probes["attention_entropy"][0]
    assert ((entropy > 0.8) & (entropy < 1)).all() and (traces.probes["attention_logit"][0] > 0).all()


def test_nets_without_attention_have_none_to_probe() -> None:
    probes = ("attention_logit", "attention_entropy", "gradient_first_block")
    for name, blocks in (("digits-mlp", False), ("digits-mixer", True)):
        shared = config(1, 16, 1, name, probed=(1,), probes=probes)
        seen = ensemble.train(shared, runs_of("sgd", 0.1, (1,))).probes
        assert seen["attention_logit"].isnan().all() and seen["attention_entropy"].isnan().all()
        assert seen["gradient_first_block"].isfinite().all() == blocks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(text.FOLDER, str(tmp_path))
    monkeypatch.setattr(text, "ADDRESS", "http://127.0.0.1:9/input.txt")  # where nothing listens
    text.missing.cache_clear()
    return tmp_path


def test_a_text_that_cannot_be_had_is_one_line(folder: Path) -> None:
    with pytest.raises(StudyError) as caught:
        text.path()
    line = str(caught.value)
    assert len(line.splitlines()) == 1
    assert all(part in line for part in (text.FILE, "http://127.0.0.1:9/input.txt", "WARMUP_STUDY_DATA"))
    assert text.missing() == line and not list(folder.iterdir())
    with pytest.raises(StudyError, match=r"tinyshakespeare\.txt cannot be had"):
        tasks.load.__wrapped__("text-transformer")


def test_another_text_is_refused(folder: Path) -> None:
    (folder / text.FILE).write_text("To be, or not to be")
    with pytest.raises(StudyError, match="is not Tiny Shakespeare"):
        text.path()


def test_a_fetched_text_with_another_hash_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(url: str, output_file: str, caller: object, **_: Any) -> None:
        Path(output_file).write_text("To be, or not to be")

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: wrong)
    with pytest.raises(StudyError, match=r"tinyshakespeare\.txt cannot be had"):
        text.path()
    assert not list(folder.iterdir())


def test_the_right_text_is_fetched_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content, fetched = b"To be, or not to be", []

    def right(url: str, output_file: str, caller: object, **_: Any) -> None:
        fetched.append(url)
        Path(output_file).write_bytes(content)

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: right)
    monkeypatch.setattr(text, "SHA256", hashlib.sha256(content).hexdigest())
    assert text.path() == text.path() == folder / text.FILE
    assert fetched == [text.ADDRESS] and text.missing() == ""


def test_windows_are_followed_by_their_next_character() -> None:
    made = text._windows(torch.arange(1000), 7)
    assert made.inputs.shape == made.targets.shape == (7, text.WINDOW)
    assert (made.targets == made.inputs + 1).all() and made.inputs[0, 0] == 0
    assert made.targets[-1, -1] == 999
