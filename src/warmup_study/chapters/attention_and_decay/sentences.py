"""The fifth chapter's results in words: titles of its figures, and paragraphs of its notebook."""

from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd

from warmup_study.chapters.attention_and_decay.analysis import (
    DecayGains,
    Gains,
    added,
    alone,
    attention_effects,
    early_attention,
    net_by_net,
    norm_effects,
)
from warmup_study.chapters.attention_and_decay.design import MIXING_NAMES, MIXINGS, MOST_SEEDS, PLACEMENTS, token_net
from warmup_study.chapters.core_curves import ABOVE, USABLE
from warmup_study.claims.evidence import mean_over_tasks
from warmup_study.claims.table import margin
from warmup_study.presentation.changes import compared_with_interval
from warmup_study.presentation.formatting import INTERVALS, effect, number
from warmup_study.presentation.quantities import grouped
from warmup_study.statistics.bootstrap import Effect, difference
from warmup_study.statistics.decisions import decide
from warmup_study.tasks.networks import Placement

DECAY_NAMES = {"constant": "no decay", "cosine": "cosine decay", "inverse_sqrt": "inverse-square-root decay"}
SIDES = {"above": "more", "below": "less", "inside": "as much", "undecided": "not clearly more or less"}
"""What the interval of a difference between two gains says, given the smallest difference that matters."""


def curves_title(gains: Gains) -> str:
    """Decades of usable learning rates that a ramp adds, from the least to the most."""
    kinds = product(PLACEMENTS, MIXINGS, MOST_SEEDS)
    names = {token_net(*kind): f"{kind[0]}-LN {MIXING_NAMES[kind[1]]}, {kind[2]} blocks" for kind in kinds}
    found = {names[task]: gain.usable.estimate for task, gain in gains.items() if task in names}
    if not found:
        return "No token network was compared"
    least, most = (number(pick(found.values())) for pick in (min, max))
    best = max(found, key=found.__getitem__)
    return f"A ramp adds {least} to {most} decades of usable learning rates, most for {best}"


def attention_title(effects: Sequence[Mapping[str, Effect]]) -> str:
    """Where a ramp gains more with attention than without, on average over depths."""
    if not effects:
        return "No pair of networks, with and without attention, was trained"
    mean = mean_over_tasks(effects)
    places = {ABOVE: "overshoot", USABLE: "usable_lr"}
    told = [
        f"{place}, {_sides([mean[added(place, one)] for one in PLACEMENTS], endpoint)}"
        for place, endpoint in places.items()
    ]
    return f"A ramp gains more with attention: {'; '.join(told)}"


def _sides(effects: Sequence[Effect], endpoint: str) -> str:
    """What the effects of both placements say, once where they agree."""
    sides = [_is_larger(one, margin(endpoint).value) for one in effects]
    told = [f"{side} with {placement}-LN" for side, placement in zip(sides, PLACEMENTS, strict=True)]
    return sides[0] if len(set(sides)) == 1 else " and ".join(told)


def _is_larger(added: Effect, least: float) -> str:
    """Whether one gain is larger than another by at least so much, as the claim is judged: yes, no or open."""
    if added.low > least:
        return "yes"
    return "no" if added.high < least else "open"


def attention(gains: Gains) -> str:
    """A paragraph: the ramp's gain for each pair of networks compared."""
    rows = attention_effects(gains)
    told = [
        _pair(effects, blocks, placement)
        for blocks in MOST_SEEDS
        for placement in PLACEMENTS
        if isinstance(effects := rows.get(token_net("post", "attention", blocks)), Mapping)
    ]
    return " ".join(told) or "No pair of networks, with and without attention, was trained."


def _pair(effects: Mapping[str, Effect], blocks: int, placement: Placement) -> str:
    usable, above = ([effects[alone(place, placement, mixing)] for mixing in MIXINGS] for place in (USABLE, ABOVE))
    decades = " and ".join(f"{effect(gain)} {MIXING_NAMES[m]}" for m, gain in zip(MIXINGS, usable, strict=True))
    losses = " and ".join(compared_with_interval(gain) for gain in above)
    return (
        f"**{placement}-LN, {blocks} blocks:** in decades of usable learning rates, the ramp gains {decades}; at twice "
        f"the best learning rate, it makes the loss {losses}, respectively."
    )


def norms_title(gains: Gains) -> str:
    """A ramp's gain for well-normalised networks."""
    found = norm_effects(gains).get("digits")
    if not isinstance(found, Mapping):
        return "No well-normalised network trains together with its counterpart"
    transformer, mlp = (
        number(found[f"gain ({net})"].estimate) for net in ("Transformer, pre-LN", "deep MLP, layer norm")
    )
    return (
        f"A ramp adds {transformer} decades of usable learning rates to pre-LN Transformers and {mlp} to deep MLPs "
        "with layer norm"
    )


def norms(gains: Gains) -> str:
    """A paragraph: the ramp's gain for each network."""
    told = "; ".join(f"{net}: {effect(gain)}" for net, gain in net_by_net(gains).items())
    return f"Decades of usable learning rates gained by the ramp, {INTERVALS}: {told}."


def decays_title(gains: Mapping[str, DecayGains]) -> str:
    """Whether the ramp gains more or less with decay than without, on average over tasks."""
    if not gains:
        return "No task trains under decay"
    mean, least = mean_over_tasks(list(gains.values())), margin("tuned_loss").value
    words = {
        f"with {DECAY_NAMES[decay]}": SIDES[decide(difference(gain, mean["constant"]), least)]
        for decay, gain in mean.items()
        if decay != "constant"
    }
    return f"Compared with no decay, a ramp gains {grouped(words)}"


def decays(gains: Mapping[str, DecayGains]) -> str:
    """A paragraph: the ramp's effect on the loss under every decay."""
    return " ".join(
        f"**{task}:** with the ramp, the loss is "
        + "; ".join(f"{compared_with_interval(gain)} with {DECAY_NAMES[decay]}" for decay, gain in found.items())
        + "."
        for task, found in gains.items()
    )


def early_title(runs: pd.DataFrame) -> str:
    """Entropy of attention with and without warmup, at the last probed update."""
    last = max(runs.loc[runs["part"] == "watch", "updates"])
    found = early_attention(runs).get(token_net("post", "attention", 2), {})
    if set(found) != {"none", "ramp"}:
        return "Attention was finite in no run"
    none, ramp = (number(found[warmup].estimate) for warmup in ("none", "ramp"))
    told = f"the same, {none}, with and without" if none == ramp else f"{none} without warmup and {ramp} with"
    return f"At update {last}, the entropy of attention is {told} a ramp (post-LN)"
