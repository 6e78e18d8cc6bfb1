"""Finds statements that are built from text: what reaches the driver must be written down as it is.

Static is a literal, a named statement, what psycopg.sql composes of literals, and a
name that only ever stands for these. A function that passes its parameter on to the
driver counts as the driver, and its callers are looked at in its place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

# What takes a statement as its first argument, or composes one of it.
_DRIVER = {
    "execute",
    "executemany",
    "copy",
    "stream",
    "ask",
    "exec_",
    "exec_params",
    "prepare",
    "send_prepare",
    "send_query",
    "send_query_params",
    "SQL",
}
# What is called as the driver is, and is not.
_OTHERS = {"copy.copy"}
# Whose statement is not the first argument.
_PLACES = {"send_prepare": 1}
# What of a static text is static too.
_KEEPING = {"encode", "strip", "items", "values"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def built_statements(source: str) -> list[str]:
    """Where a module hands the driver what is not static: the line, and what stands there."""
    module = _Module(ast.parse(source))
    return [f"line {node.lineno}: {ast.unparse(node)}" for node in module.built()]


class _Module:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        # The function around each node; None for the module.
        self._around: dict[ast.AST, Function | None] = {}
        self._note(tree, None)
        # Functions of this module that pass a parameter on, and its place and name.
        self._passing: dict[str, tuple[int, str]] = {}

    def built(self) -> list[ast.expr]:
        """Every argument that is not static."""
        while True:
            before = len(self._passing)
            found = [statement for statement in self._statements() if not self._is_static(statement)]
            if len(self._passing) == before:
                return found

    def _note(self, node: ast.AST, around: Function | None) -> None:
        for child in ast.iter_child_nodes(node):
            self._around[child] = around
            self._note(child, child if isinstance(child, Function) else around)

    def _statements(self) -> Iterator[ast.expr]:
        for node in ast.walk(self._tree):
            if not isinstance(node, ast.Call):
                continue
            if ast.unparse(node.func) in _OTHERS:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place, keyword = self._passing.get(name, (_PLACES.get(name, 0), "query"))
            if name not in _DRIVER and name not in self._passing:
                continue
            if isinstance(node.func, ast.Name) and name not in self._passing and name != "SQL":
                continue
            if len(node.args) > place:
                yield node.args[place]
            yield from (each.value for each in node.keywords if each.arg == keyword)

    def _is_static(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return True
        if isinstance(node, ast.Attribute):
            # A named statement, or what a value object was given as one.
            return True
        if isinstance(node, ast.Starred | ast.Tuple | ast.List):
            return isinstance(node, ast.Starred) or all(map(self._is_static, node.elts))
        if isinstance(node, ast.Dict):
            return all(map(self._is_static, node.values))
        if isinstance(node, ast.IfExp):
            return self._is_static(node.body) and self._is_static(node.orelse)
        if isinstance(node, ast.Name):
            return self._is_static_name(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            inner = node.func.value
            if node.func.attr in _KEEPING:
                return self._is_static(inner)
            if node.func.attr == "format":
                # sql.SQL("…").format(…) quotes what it is given; "…".format(…) does not.
                return isinstance(inner, ast.Call) and self._is_static(inner)
            # Its own argument is looked at as a statement.
            return node.func.attr == "SQL"
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "SQL"

    def _is_static_name(self, node: ast.Name) -> bool:
        around = self._around[node]
        if around is not None and self._is_parameter(around, node.id):
            return True
        values = [value for scope in {around, None} for value in self._values(node.id, scope)]
        return bool(values) and all(map(self._is_static, values))

    def _is_parameter(self, function: Function, name: str) -> bool:
        """Whether the name is a parameter; then whoever calls the function is looked at."""
        arguments = function.args
        positional = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
        if name not in (*positional, *(each.arg for each in arguments.kwonlyargs)):
            return False
        is_bound = bool(positional) and positional[0] in ("self", "cls")
        place = positional.index(name) - is_bound if name in positional else 1_000
        self._passing[function.name] = (place, name)
        return not list(self._values(name, function))

    def _values(self, name: str, scope: Function | None) -> Iterator[ast.expr]:
        """Everything that the name stands for in a scope, by assignment or as a loop's variable."""
        for node, around in self._around.items():
            if around is not scope:
                continue
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                    yield from [node.value] if node.value is not None else []
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                if node.target.id == name:
                    yield ast.BinOp(node.target, node.op, node.value)
            elif isinstance(node, ast.For) and name in {
                each.id for each in ast.walk(node.target) if isinstance(each, ast.Name)
            }:
                yield node.iter
