"""LLVM IR text to relocatable ELF objects, here or in processes beside.

In: the text of modules by name, a `Target`. Out: the bytes of one object a module. The only caller of LLVM's back end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import llvmlite.binding as llvm

from alula.base.errors import InternalError
from alula.engine.kernels.target import Target
from alula.engine.program.helpers import compile_beside
from alula.engine.program.objects import ObjectStore

Progress = Callable[[int, int], None]

# Below this much text one process is faster than starting helpers (an interpreter and LLVM load in 0.2 s).
_WORTH_HELPERS = 1 << 19


def compile_text(text: str, target: Target) -> bytes:
    """Compile one module.

    No IR passes run: kernels are written as they shall be, and passes undo register tiles. LLVM takes one global lock,
    so threads gain nothing. The first call switches LLVM's machine scheduler off for the whole process: it hoists
    loads over multiply-adds until the tiles spill.

    Raises:
        InternalError: LLVM refuses the text.
    """
    machine = _machine(target)
    head = f'target datalayout = "{machine.target_data}"\ntarget triple = "{target.triple}"\n'
    try:
        # A context of its own: the global one keeps every type and constant that it ever saw.
        with llvm.create_context() as context, llvm.parse_assembly(head + text, context) as module:
            module.verify()
            return bytes(machine.emit_object(module))
    except RuntimeError as error:
        raise InternalError(
            "generated code", "text that LLVM accepts", str(error).strip(), detail=text[:400]
        ) from error


def assembly_of(text: str, target: Target) -> str:
    """The assembly of one module, for `show` and for tests that count spills.

    Raises:
        InternalError: LLVM refuses the text.
    """
    machine = _machine(target)
    head = f'target datalayout = "{machine.target_data}"\ntarget triple = "{target.triple}"\n'
    try:
        with llvm.parse_assembly(head + text) as module:
            return str(machine.emit_assembly(module))
    except RuntimeError as error:
        raise InternalError(
            "generated code", "text that LLVM accepts", str(error).strip(), detail=text[:400]
        ) from error


def compile_all(
    texts: Mapping[str, str],
    target: Target,
    jobs: int = 1,
    progress: Progress | None = None,
    store: ObjectStore | None = None,
) -> Mapping[str, bytes]:
    """Compile modules, in `jobs` processes where that pays.

    Args:
        texts: the text of each module by name.
        target: what to compile for.
        jobs: the most processes to use; 1 compiles here.
        progress: called with (modules done, modules in all) after each, from the thread that calls.
        store: where objects of earlier compilations are found, and these are kept.

    Returns:
        Objects by name; the same bytes whatever `jobs` is.

    Raises:
        InternalError: LLVM refuses a text.
    """
    kept = {name: data for name, text in texts.items() if store and (data := store.get(text, target)) is not None}
    missing = {name: text for name, text in texts.items() if name not in kept}
    report = progress or _silent
    made = _compile_missing(missing, target, jobs, lambda done, _: report(len(kept) + done, len(texts)))
    if store:
        for name, text in missing.items():
            store.put(text, target, made[name])
    return {name: kept[name] if name in kept else made[name] for name in texts}


def _compile_missing(texts: Mapping[str, str], target: Target, jobs: int, report: Progress) -> Mapping[str, bytes]:
    jobs = min(jobs, len(texts))
    if jobs > 1 and sum(map(len, texts.values())) >= _WORTH_HELPERS:
        return compile_beside(texts, target, jobs, report)
    objects: dict[str, bytes] = {}
    for name, text in texts.items():
        objects[name] = compile_text(text, target)
        report(len(objects), len(texts))
    return objects


def _silent(done: int, total: int) -> None:
    del done, total


@functools.cache
def _prepared() -> bool:
    """Initialise LLVM once a process."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.initialize_native_asmparser()
    llvm.set_option("alula", "-enable-misched=false")
    return True


@functools.cache
def _machine(target: Target) -> llvm.TargetMachine:
    _prepared()
    chosen = llvm.Target.from_triple(target.triple)
    return chosen.create_target_machine(cpu=target.cpu, features=target.features, opt=2, reloc="pic", codemodel="small")
