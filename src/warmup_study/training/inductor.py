"""The engine's steps as native code: traced once, mended where a library routine is slow, compiled by Inductor.

The traced graph of an update holds all of it, gradients included. It is called without ``torch.compile``'s guards,
which for small networks take a good part of an update: what they would check is in the key the code is kept under.
"""

from collections.abc import Callable, Hashable
from textwrap import shorten
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
_SAID: list[str] = []  # why there is no compiled code in this process
_bmm = torch.ops.aten.bmm.default
_turned = torch.ops.aten.permute.default
_copied = torch.ops.aten.clone.default
_LONGEST_REASON = 120  # characters
_FEW = 16  # columns: below one vector of AVX-512, MKL's batched product is three to four times slower than turned over


def compiled(function: Callable[..., Result], *examples: Any) -> Callable[..., Result]:
    """``function`` for arguments of just these shapes, as native code; made once for each function and shapes.

    Where that cannot be had, for want of a C++ compiler that works say, it is the function itself: slower, and equal to
    rounding. One line says so, once in a process. Raises whatever the function itself raises on the examples.
    """
    key = (function, *((leaf.shape, leaf.dtype, leaf.device) for leaf in tree_leaves(examples)))
    if key not in _KNOWN:
        _KNOWN[key] = _compiled(function, examples)
    return _KNOWN[key]


def _compiled(function: Callable[..., Any], examples: tuple[Any, ...]) -> Callable[..., Any]:
    try:
        get_cpp_compiler()
        graph = make_fx(function)(*_copied_examples(examples))  # tracing runs it
        native: Callable[..., Any] = inductor_compile(store_what_is_spread(turn_skinny_products(graph)), list(examples))
        return native
    except Exception as problem:  # of a compiler, a folder, a loader, or of the function
        function(*_copied_examples(examples))
        _say_once(shorten(f"{type(problem).__name__}: {problem}", _LONGEST_REASON, placeholder=" …"))
        return function


def _copied_examples(examples: tuple[Any, ...]) -> tuple[Any, ...]:
    copies: tuple[Any, ...] = tree_map_only(Tensor, Tensor.clone, examples)
    return copies


def _say_once(reason: str) -> None:
    if _SAID:
        return
    _SAID.append(reason)
    print(f"compiled code is not to be had here ({reason}); training goes on uncompiled, equal to rounding")


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


_multiplied = torch.ops.aten.mul.Tensor
_strided = torch.ops.aten.as_strided.default
_VIEWS = tuple(getattr(torch.ops.aten, n).default for n in ("unsqueeze", "view", "expand"))
_SPREAD = 4

def _size(n):
    v = n.meta.get("val") if isinstance(n, Node) else None
    return v.numel() if isinstance(v, Tensor) else 0

def store_what_is_spread(graph: GraphModule) -> GraphModule:
    """Store what is spread over a further axis before it is: else it would be worked out anew for each of its copies."""
    done: dict[Node, Node] = {}
    for node in graph.graph.find_nodes(op="call_function", target=_multiplied):
        for f in node.args:
            chain=[]
            while isinstance(f, Node) and f.target in _VIEWS:
                chain.append(f); f=f.args[0]
            if not chain or f.op=="placeholder" or _size(f)<4096 or _size(node) < _SPREAD*_size(f) or not f.meta["val"].is_contiguous(): continue
            if f not in done:
                value = f.meta["val"]
                with graph.graph.inserting_after(f):
                    done[f] = graph.graph.call_function(_strided, (f, list(value.shape), list(value.stride())))
                    done[f].meta["val"] = value
            last=chain[-1]
            last.args=(done[f], *last.args[1:])
    graph.recompile()
    return graph
