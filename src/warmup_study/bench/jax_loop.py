"""The same training in JAX: a jitted scan over updates of a vmap over runs, with the networks written out anew.

JAX is imported inside the functions: it comes with the extra ``bench`` alone.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from warmup_study import tasks
from warmup_study.bench.ordinary_networks import HEADS, Transformer
from warmup_study.bench.workloads import LR, Workload
from warmup_study.training import batches, examples
from warmup_study.training.network_state import initial_state

Network = Callable[[Any, Any], Any]  # (weights by name, inputs of a batch) -> logits


def weights(workload: Workload) -> dict[str, Any]:
    """Adam by hand, from the ensemble's initial weights on its batches; returns the stacked weights after it."""
    import jax.numpy as jnp

    task = tasks.load(workload.task)
    stacks = initial_state(task, range(workload.runs)).params
    params = {name: jnp.asarray(stack.numpy()) for name, stack in stacks.items()}
    count, seeds = len(task.splits.train), range(workload.runs)
    chosen = [batches.batch_order(seed, count, workload.batch, workload.jax_updates) for seed in seeds]
    orders = [examples.located(task, order, seed) for seed, order in zip(seeds, chosen, strict=True)]
    trained: dict[str, Any] = _program(workload)(params, jnp.asarray(np.stack(orders, axis=1)), *_arrays(workload.task))
    for leaf in trained.values():
        leaf.block_until_ready()
    return trained


@lru_cache
def _arrays(task_name: str) -> tuple[Any, Any]:
    import jax.numpy as jnp

    train = examples.shared(tasks.load(task_name))
    return jnp.asarray(train.inputs.numpy()), jnp.asarray(train.targets.numpy())


@lru_cache
def _program(workload: Workload) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    network = _network(workload)
    tree = jax.tree_util.tree_map

    def loss(params: Any, inputs: Any, targets: Any) -> Any:
        logits = jax.nn.log_softmax(network(params, inputs))
        return -jnp.take_along_axis(logits, targets[:, None], 1).mean()

    def train(params: Any, orders: Any, inputs: Any, targets: Any) -> Any:
        def update(carry: Any, picked: Any) -> Any:
            params, first, second, count = carry
            batch = jnp.take(inputs, picked, axis=0), jnp.take(targets, picked, axis=0)
            grads = jax.vmap(jax.grad(loss))(params, *batch)
            first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
            second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
            c1, c2 = 1 - 0.9**count, 1 - 0.999**count
            params = tree(lambda p, m, v: p - LR / c1 * m / (jnp.sqrt(v / c2) + 1e-8), params, first, second)
            return (params, first, second, count + 1), None

        zeros = tree(jnp.zeros_like, params)
        return jax.lax.scan(update, (params, zeros, zeros, 1.0), orders)[0][0]

    compiled: Callable[..., Any] = jax.jit(train, donate_argnums=0)
    return compiled


def _network(workload: Workload) -> Network:
    """The network in JAX: an MLP, the convolutional net or the post-LN Transformer, told by its weights."""
    model = workload.ordinary()
    if isinstance(model, Transformer):
        return _transformer
    convolutions = any(weight.ndim == 3 for weight in model.parameters())
    return _convolutional if convolutions else _mlp


def _linear(params: Any, name: str, inputs: Any) -> Any:
    return inputs @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def _mlp(params: Any, inputs: Any) -> Any:
    import jax

    *hidden, last = sorted({name.split(".")[0] for name in params}, key=int)
    for layer in hidden:
        inputs = jax.nn.relu(_linear(params, layer, inputs))
    return _linear(params, last, inputs)


def _convolutional(params: Any, inputs: Any) -> Any:
    import jax

    *convolutions, last = sorted({name.split(".")[0] for name in params}, key=int)
    signal = inputs[:, None]
    for layer in convolutions:
        signal = jax.lax.conv_general_dilated(signal, params[f"{layer}.weight"], (2,), [(2, 2)])
        signal = jax.nn.relu(signal + params[f"{layer}.bias"][:, None])
    return _linear(params, last, signal.reshape(len(signal), -1))


def _transformer(params: Any, inputs: Any) -> Any:
    import jax

    tokens = _linear(params, "embed", inputs) + params["position"]
    for block in sorted({name.split(".")[1] for name in params if name.startswith("blocks.")}, key=int):
        at = f"blocks.{block}"
        tokens = _normed(params, f"{at}.norms.0", tokens + _attention(params, f"{at}.mixing", tokens))
        hidden = jax.nn.relu(_linear(params, f"{at}.network.0", tokens))
        tokens = _normed(params, f"{at}.norms.1", tokens + _linear(params, f"{at}.network.2", hidden))
    return _linear(params, "head", tokens.mean(-2))


def _normed(params: Any, name: str, tokens: Any) -> Any:
    import jax.numpy as jnp

    centred = tokens - tokens.mean(-1, keepdims=True)
    scaled = centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * params[f"{name}.weight"] + params[f"{name}.bias"]


def _attention(params: Any, name: str, tokens: Any) -> Any:
    import jax
    import jax.numpy as jnp

    batch, length, width = tokens.shape
    split = _linear(params, f"{name}.to_qkv", tokens).reshape(batch, length, 3, HEADS, width // HEADS)
    queries, keys, values = jnp.moveaxis(split, (2, 3), (0, 2))
    logits = queries @ keys.swapaxes(-1, -2) / (width // HEADS) ** 0.5
    mixed = (jax.nn.softmax(logits) @ values).swapaxes(1, 2).reshape(tokens.shape)
    return _linear(params, f"{name}.to_out", mixed)
