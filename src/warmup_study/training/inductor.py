"""The engine's steps as native code: traced once, mended where a library routine is slow, compiled by Inductor.

The traced graph of an update holds all of it, gradients included. It is called without ``torch.compile``'s guards,
which for small networks take a good part of an update: what they would check is in the key the code is kept under.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._inductor import compile as inductor_compile
from torch._inductor.cpp_builder import get_cpp_compiler
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_leaves, tree_map_only

Result = TypeVar("Result")

_KNOWN: dict[Hashable, Callable[..., Any]] = {}
_bmm = torch.ops.aten.bmm.default
_turned = torch.ops.aten.permute.default
_copied = torch.ops.aten.clone.default
_FEW = 16  # columns: below one vector of AVX-512, MKL's batched product is three to four times slower than turned over


def compiled(function: Callable[..., Result], *examples: Any) -> Callable[..., Result]:
    """``function`` for arguments of just these shapes, as native code; made once for each function and shapes.

    On a machine without a C++ compiler it is the function itself: slower, and equal to rounding.
    """
    key = (function, *((leaf.shape, leaf.dtype, leaf.device) for leaf in tree_leaves(examples)))
    if key not in _KNOWN:
        _KNOWN[key] = _compiled(function, examples)
    return _KNOWN[key]


def _compiled(function: Callable[..., Any], examples: tuple[Any, ...]) -> Callable[..., Any]:
    try:
        get_cpp_compiler()
    except RuntimeError:
        return function
    graph = make_fx(function)(*tree_map_only(Tensor, Tensor.clone, examples))  # tracing runs it, on copies
    native: Callable[..., Any] = inductor_compile(turn_skinny_products(graph), list(examples))
    return native


def turn_skinny_products(graph: GraphModule) -> GraphModule:
    """Compute each batched product of few columns as (BᵀAᵀ)ᵀ: the same sums, with rows and columns exchanged."""
    for node in graph.graph.find_nodes(op="call_function", target=_bmm):
        rows, columns = node.meta["val"].shape[-2:]
        if columns < _FEW <= rows:
            _turn(graph, node)
    graph.recompile()
    return graph


def _turn(graph: GraphModule, product: Node) -> None:
    with graph.graph.inserting_before(product):
        left, right = (graph.graph.call_function(_turned, (factor, [0, 2, 1])) for factor in product.args)
        other_way = graph.graph.call_function(_bmm, (right, left))
        back = graph.graph.call_function(_turned, (other_way, [0, 2, 1]))
        laid_out = graph.graph.call_function(_copied, (back,), {"memory_format": torch.contiguous_format})
    product.replace_all_uses_with(laid_out)  # what follows was traced on rows that lie one after the other
    graph.graph.erase_node(product)
