"""The engine's steps as native code: traced once, mended where a library routine is slow, compiled by Inductor.

The traced graph of an update holds all of it, gradients included. It is called without ``torch.compile``'s guards,
which for small networks take a good part of an update: what they would check is in the key the code is kept under.
"""

from collections.abc import Callable, Hashable
from textwrap import shorten
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch._inductor import compile as inductor_compile
from torch._inductor.cpp_builder import get_cpp_compiler
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._pytree import tree_leaves, tree_map_only

Result = TypeVar("Result")

_KNOWN: dict[Hashable, Callable[..., Any]] = {}
_SAID: list[str] = []  # why there is no compiled code in this process
_bmm = torch.ops.aten.bmm.default
_turned = torch.ops.aten.permute.default
_copied = torch.ops.aten.clone.default
_multiplied = torch.ops.aten.mul.Tensor
_strided = torch.ops.aten.as_strided.default
_VIEWS = [torch.ops.aten.unsqueeze.default, torch.ops.aten.view.default, torch.ops.aten.expand.default]
_LONGEST_REASON = 120  # characters
_SPREAD = 8  # times a factor is repeated, from which on it pays to store it
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
        graph = traced(function, examples)
        mended = store_what_is_spread(turn_skinny_products(graph))
        with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))):  # else its cache on disk is left out
            native: Callable[..., Any] = inductor_compile(mended, list(examples))
        return native
    except Exception as problem:  # of a compiler, a folder, a loader, or of the function
        function(*_copied_examples(examples))
        _say_once(shorten(f"{type(problem).__name__}: {problem}", _LONGEST_REASON, placeholder=" …"))
        return function


def traced(function: Callable[..., Any], examples: tuple[Any, ...]) -> GraphModule:
    """All operations of the function on the examples, of which only shapes and types are looked at.

    Nothing is computed: the intermediate results of a whole stack, spread out, would take more than its training does.
    """
    made: GraphModule = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(*examples)
    return made


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


def store_what_is_spread(graph: GraphModule) -> GraphModule:
    """Store a factor before a product repeats it along another axis: else each repetition works it out anew.

    Inductor writes its operand of ``as_strided`` to memory, which is all that is meant by it here.
    """
    stored: dict[Node, Node] = {}
    for product in graph.graph.find_nodes(op="call_function", target=_multiplied):
        for factor in product.all_input_nodes:
            source, last_view = _viewed(factor)
            if last_view and _is_worth_storing(source, product):
                stored[source] = stored.get(source) or _stored(graph, source)
                last_view.replace_input_with(source, stored[source])
    graph.recompile()
    return graph


def _viewed(node: Node) -> tuple[Node, Node | None]:
    """What a chain of views begins with, and the view that is taken of it; None where there is no view."""
    view = None
    while node.target in _VIEWS:
        view, node = node, node.all_input_nodes[0]
    return node, view


def _is_worth_storing(source: Node, product: Node) -> bool:
    given, made = source.meta["val"], product.meta["val"]
    return source.op != "placeholder" and given.is_contiguous() and made.numel() >= _SPREAD * given.numel() > _SPREAD


def _stored(graph: GraphModule, source: Node) -> Node:
    value = source.meta["val"]
    with graph.graph.inserting_after(source):
        kept = graph.graph.call_function(_strided, (source, list(value.shape), list(value.stride())))
    kept.meta["val"] = value
    return kept
