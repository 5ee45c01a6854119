"""Holds one thread of a process up, as a defect would, until the process is gone: hold.py PID NAME."""

import ctypes
import os
import sys

ATTACH = 16  # PTRACE_ATTACH stops this thread alone, where SIGSTOP would stop them all.

process, name = sys.argv[1:]
for thread in os.listdir(f"/proc/{process}/task"):
    with open(f"/proc/{process}/task/{thread}/comm") as comm:
        if comm.read().strip() == name:
            break
else:
    sys.exit(f"process {process} has no thread {name}")
libc = ctypes.CDLL(None, use_errno=True)
if libc.ptrace(ATTACH, int(thread), None, None) != 0:
    sys.exit(f"ptrace: {os.strerror(ctypes.get_errno())}")
WALL = 0x40000000
os.waitpid(int(thread), WALL)  # It stands.
print("held", flush=True)
while os.WIFSTOPPED(os.waitpid(int(thread), WALL)[1]):
    pass  # Killed, it stays until its tracer has seen it.
