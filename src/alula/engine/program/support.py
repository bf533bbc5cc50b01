"""What generated code brings along to live without a library: barrier, parking of workers, denormals, system calls.

In: a Target. Out: IR text. Exported are `void alula_worker(ptr mailbox)`, the endless loop of a worker thread, and
`void alula_launch(ptr mailboxes, i64 helpers, ptr function, ptr context)`, which gives `function(context, n)` to
helpers 1 to n and runs `function(context, 0)` itself. Mailboxes are described in `base/plan_format.py`.
"""

from __future__ import annotations

from alula.base.errors import UnsupportedError
from alula.base.plan_format import (
    BARRIER_GENERATION,
    MAILBOX_BYTES,
    MAILBOX_CONTEXT,
    MAILBOX_DONE,
    MAILBOX_FUNCTION,
    MAILBOX_WORKER,
    machine_of,
)
from alula.engine.kernels.target import Target

WORKER, LAUNCH = "alula_worker", "alula_launch"

# About 20 to 60 microseconds of pauses: longer than steps differ when nothing disturbs them.
_SPINS = 2000


def support_text(target: Target) -> str:
    """All of it, as text without functions of steps.

    Raises:
        UnsupportedError: nobody wrote it for the architecture yet.
    """
    machine = machine_of(target.triple)
    if machine not in _SYSCALL:
        raise UnsupportedError("target", f"an architecture of {', '.join(_SYSCALL)}", f"got {machine}")
    pause, declaration = _PAUSE[machine]
    text = "".join([declaration, _SYSCALL[machine], _BARRIER, _WORKERS, _DENORMALS[machine]])
    words = {"PAUSE": pause, "SPINS": _SPINS, "GENERATION": BARRIER_GENERATION, **_NUMBERS[machine], **_MAILBOX}
    for word, value in words.items():
        text = text.replace(f"<{word}>", str(value))
    return text


_PAUSE = {
    "x86_64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "aarch64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
}

# Linux system calls: sched_yield and futex (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
_NUMBERS = {"x86_64": {"YIELD": 24, "FUTEX": 202}, "aarch64": {"YIELD": 124, "FUTEX": 98}}

_MAILBOX = {
    "BOX": MAILBOX_BYTES,
    "FUNCTION": MAILBOX_FUNCTION,
    "CONTEXT": MAILBOX_CONTEXT,
    "WORKER": MAILBOX_WORKER,
    "DONE": MAILBOX_DONE,
}

# i64 alula_syscall(i64 number, i64 a, i64 b, i64 c, i64 d), as machine code, because LLVM's Python package assembles
# text for the machine it runs on only. The arguments move from the places of a call to those of a system call:
#   mov rax, rdi; mov rdi, rsi; mov rsi, rdx; mov rdx, rcx; mov r10, r8; syscall; ret
#   mov x8, x0; mov x0, x1; mov x1, x2; mov x2, x3; mov x3, x4; svc 0; ret
_SYSCALL = {
    "x86_64": r"""
@alula_syscall = internal constant [18 x i8]
    c"\48\89\F8\48\89\F7\48\89\D6\48\89\CA\4D\89\C2\0F\05\C3", section ".text.alula", align 16
""",
    "aarch64": r"""
@alula_syscall = internal constant [28 x i8]
    c"\E8\03\00\AA\E0\03\01\AA\E1\03\02\AA\E2\03\03\AA\E3\03\04\AA\01\00\00\D4\C0\03\5F\D6",
    section ".text.alula", align 16
""",
}

# The classic central barrier with a generation in place of a sense (Mellor-Crummey and Scott 1991, algorithm 7). The
# last to arrive resets the count and opens the gate; a run leaves the count at 0 for the next one.
_BARRIER = """
define internal void @alula_barrier(ptr %block, i64 %workers) noinline nounwind {
entry:
  %alone = icmp eq i64 %workers, 1
  br i1 %alone, label %done, label %arrive
arrive:
  %gate = getelementptr i8, ptr %block, i64 <GENERATION>
  %before = load atomic i64, ptr %gate monotonic, align 8
  %earlier = atomicrmw add ptr %block, i64 1 acq_rel
  %count = add i64 %earlier, 1
  %last = icmp eq i64 %count, %workers
  br i1 %last, label %open, label %wait
open:
  store atomic i64 0, ptr %block monotonic, align 8
  %next = add i64 %before, 1
  store atomic i64 %next, ptr %gate release, align 8
  br label %done
wait:
  %spins = phi i64 [ 0, %arrive ], [ %more, %again ]
  %now = load atomic i64, ptr %gate acquire, align 8
  %opened = icmp ne i64 %now, %before
  br i1 %opened, label %done, label %stay
stay:
  %more = add i64 %spins, 1
  %long = icmp ugt i64 %more, <SPINS>
  br i1 %long, label %yield, label %pause
pause:
  <PAUSE>
  br label %again
yield:
  %ignored = call i64 @alula_syscall(i64 <YIELD>, i64 0, i64 0, i64 0, i64 0)
  br label %again
again:
  br label %wait
done:
  ret void
}
"""

# Workers never hold Python's lock: they sleep and wake in here (futex(2), FUTEX_WAIT_PRIVATE 128, FUTEX_WAKE_PRIVATE
# 129). A ticket posted before the worker sleeps makes the wait return at once. A new job is posted only when all
# workers have passed the last barrier of the one before, so that one mailbox each is enough.
_WORKERS = """
define void @alula_worker(ptr %box) nounwind {
entry:
  %done = getelementptr i8, ptr %box, i64 <DONE>
  %function = getelementptr i8, ptr %box, i64 <FUNCTION>
  %context = getelementptr i8, ptr %box, i64 <CONTEXT>
  %number = getelementptr i8, ptr %box, i64 <WORKER>
  br label %idle
idle:
  %last = phi i32 [ 0, %entry ], [ %ticket, %work ]
  br label %look
look:
  %ticket = load atomic i32, ptr %box acquire, align 4
  %same = icmp eq i32 %ticket, %last
  br i1 %same, label %sleep, label %work
sleep:
  %expected = zext i32 %last to i64
  %address = ptrtoint ptr %box to i64
  %ignored = call i64 @alula_syscall(i64 <FUTEX>, i64 %address, i64 128, i64 %expected, i64 0)
  br label %look
work:
  %run = load ptr, ptr %function, align 8
  %with = load ptr, ptr %context, align 8
  %as = load i64, ptr %number, align 8
  call void %run(ptr %with, i64 %as)
  store atomic i32 %ticket, ptr %done release, align 4
  br label %idle
}

define void @alula_launch(ptr %boxes, i64 %helpers, ptr %run, ptr %with) nounwind {
entry:
  %none = icmp eq i64 %helpers, 0
  br i1 %none, label %own, label %post
post:
  %index = phi i64 [ 0, %entry ], [ %next, %post ]
  %next = add i64 %index, 1
  %offset = mul i64 %index, <BOX>
  %box = getelementptr i8, ptr %boxes, i64 %offset
  %function = getelementptr i8, ptr %box, i64 <FUNCTION>
  %context = getelementptr i8, ptr %box, i64 <CONTEXT>
  %number = getelementptr i8, ptr %box, i64 <WORKER>
  store ptr %run, ptr %function, align 8
  store ptr %with, ptr %context, align 8
  store i64 %next, ptr %number, align 8
  %before = load atomic i32, ptr %box monotonic, align 4
  %ticket = add i32 %before, 1
  store atomic i32 %ticket, ptr %box release, align 4
  %address = ptrtoint ptr %box to i64
  %ignored = call i64 @alula_syscall(i64 <FUTEX>, i64 %address, i64 129, i64 1, i64 0)
  %more = icmp ult i64 %next, %helpers
  br i1 %more, label %post, label %own
own:
  call void %run(ptr %with, i64 0)
  ret void
}
"""

# Results that decayed below 1.2e-38 made one network 90 times slower, so they count as zero inside a run. MXCSR bits
# 15 and 6 are flush-to-zero and denormals-are-zero (Intel SDM volume 1, 10.2.3); FPCR bit 24 is FZ (Arm ARM, FPCR).
_DENORMALS = {
    "x86_64": """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define internal i32 @alula_flush_denormals() noinline nounwind {
  %slot = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %slot)
  %old = load i32, ptr %slot, align 4
  %new = or i32 %old, 32832
  store i32 %new, ptr %slot, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %slot)
  ret i32 %old
}

define internal void @alula_restore_denormals(i32 %old) noinline nounwind {
  %slot = alloca i32, align 4
  store i32 %old, ptr %slot, align 4
  call void @llvm.x86.sse.ldmxcsr(ptr %slot)
  ret void
}
""",
    "aarch64": """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)

define internal i64 @alula_flush_denormals() noinline nounwind {
  %old = call i64 @llvm.aarch64.get.fpcr()
  %new = or i64 %old, 16777216
  call void @llvm.aarch64.set.fpcr(i64 %new)
  ret i64 %old
}

define internal void @alula_restore_denormals(i64 %old) noinline nounwind {
  call void @llvm.aarch64.set.fpcr(i64 %old)
  ret void
}
""",
}
