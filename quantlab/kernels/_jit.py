"""The one decorator of every compiled function, and the folder its machine code is kept in.

numba notices edits in the file of a cached function, not in the files of the functions it calls
(numba issue 8359). The cache folder is therefore named by a hash of all kernel sources: an edit anywhere in
this package is a new folder, and kernels may call kernels across files.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast, overload

from platformdirs import user_cache_path

from quantlab.loading import collector_paused

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def _meet_blas_later() -> None:
    """Let numba know that scipy's BLAS is there without loading it.

    numba imports scipy.linalg, a quarter of a second, when its array functions load, and only to see whether it can.
    A function that multiplies matrices still loads the real module when it is compiled.
    """
    name = "scipy.linalg.cython_blas"
    if name in sys.modules or "numba.np.arraymath" in sys.modules or find_spec("scipy") is None:
        return
    sys.modules[name] = ModuleType(name)
    try:
        import_module("numba.np.arraymath")
    finally:
        del sys.modules[name]


with collector_paused():
    import numba
    from llvmlite import ir
    from numba.core import cgutils, config, types
    from numba.core.registry import cpu_target
    from numba.extending import intrinsic

    _meet_blas_later()
    # numba loads what its functions are made of when the first kernel runs: now the collector does not look on.
    cpu_target.target_context.refresh()

__all__ = [
    "cache_folder",
    "cgutils",
    "config",
    "fetch",
    "intrinsic",
    "ir",
    "kernel",
    "source_hash",
    "types",
]

P = ParamSpec("P")
R = TypeVar("R")

KEPT_FOLDERS = 4
"""Cache folders kept: other checkouts and the last few edits."""


@cache
def source_hash() -> str:
    """Hash of every kernel source and of numba's version."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _make_folder() -> str | None:
    """Create the cache folder, prune old ones, and return its path; None where nothing can be written."""
    root = Path(config.CACHE_DIR or user_cache_path("quantlab")) / "kernels"
    folder = root / source_hash()
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True)
            others = sorted(root.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
            for old in others[KEPT_FOLDERS:]:
                shutil.rmtree(old, ignore_errors=True)
        probe = folder / ".writable"
        probe.touch()
    except OSError:
        return None
    return str(folder)


_FOLDER = _make_folder()


def cache_folder() -> str | None:
    """Folder of the compiled kernels of exactly these sources, or None where none can be written."""
    return _FOLDER


@overload
def kernel(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def kernel(*, allocates: bool = True, inline: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def kernel(
    function: Callable[P, R] | None = None, /, *, allocates: bool = True, inline: bool = False
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function on first call, without the interpreter lock, and keep the machine code on disk.

    Division by zero gives inf or NaN as in numpy; floating point is IEEE (no fast-math), so NaN behaves and
    results are the same to the bit on every call, and where arithmetic alone makes them, without compiling too.

    Parameters
    ----------
    function : callable
        What is compiled.
    allocates : bool
        False for a function that makes no array: it and what it calls then count no references, which costs more
        than the arithmetic in functions that run at every order.
    inline : bool
        Whether the machine code goes into the caller's. An array is seven words or more on the stack of every call:
        a step of the inner loop that takes ten of them costs twice as much when it is called.
    """
    flags: dict[str, Any] = {} if allocates else {"_nrt": False}
    if inline:
        flags["forceinline"] = True
    return partial(_compiled, flags=flags) if function is None else _compiled(function, flags)


def _compiled(function: Callable[P, R], flags: dict[str, Any]) -> Callable[P, R]:
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = _FOLDER or before
        jitted = numba.njit(cache=_FOLDER is not None, nogil=True, error_model="numpy", **flags)(function)
    finally:
        config.CACHE_DIR = before
    return cast("Callable[P, R]", jitted)


def _fetch(_context: Any, rows: Any, row: Any) -> tuple[Any, Callable[..., Any]]:
    """Type and generate `fetch`."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, given: tuple[Any, Any]) -> Any:
        array = context.make_array(signature.args[0])(context, builder, given[0])
        row = context.cast(builder, given[1], signature.args[1], types.intp)
        stride = builder.extract_value(array.strides, 0)
        place = builder.gep(
            builder.bitcast(array.data, ir.IntType(8).as_pointer()), [builder.mul(row, stride)]
        )
        hint = builder.module.declare_intrinsic(
            "llvm.prefetch.p0",
            fnty=ir.FunctionType(ir.VoidType(), [place.type, *(ir.IntType(32) for _ in range(3))]),
        )
        builder.call(hint, [place, *(ir.Constant(ir.IntType(32), k) for k in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(rows, row), generate


fetch: Callable[[NDArray[Any], int], None] = (
    (lambda _rows, _row: None) if config.DISABLE_JIT else intrinsic(_fetch)
)
"""Ask the processor for a row of an array that will be read soon. The row must be one of the array's."""
