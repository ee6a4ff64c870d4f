"""Boot sectors for guests that do one thing to their devices: firmware starts them within a second.

The rule: 16-bit code without an operating system, so a test needs neither a kernel nor its modules.
The ports are those of QEMU's devices ib700 and isa-pvpanic.
"""

from __future__ import annotations

#: Let the watchdog expire at once; report a panic 36 timer interrupts (2 s) later.
WATCHDOG_THEN_PANIC = bytes.fromhex(
    "ba4304 b00f ee"  # mov dx, 0x443; mov al, 15; out dx, al: the watchdog expires in 0 s
    "fb b92400 f4 e2fd"  # sti; mov cx, 36; hlt; loop to hlt
    "ba0505 b001 ee"  # mov dx, 0x505; mov al, 1; out dx, al: the guest has panicked
    "f4 ebfd"  # hlt; jmp to hlt
)

#: Fill 16 MiB of memory and halt, so that a slow migration takes seconds. The descriptor at the end
#: gives the segment ES a limit of 4 GiB.
FILL_MEMORY = bytes.fromhex(
    "fa 31c0 8ed8 0f0116357c"  # cli; xor ax, ax; mov ds, ax; lgdt [0x7c35]
    "0f20c0 0c01 0f22c0"  # mov eax, cr0; or al, 1; mov cr0, eax
    "bb0800 8ec3 24fe 0f22c0"  # mov bx, 8; mov es, bx; and al, 254; mov cr0, eax
    "66bf00001000 66b900004000"  # mov edi, 1 MiB; mov ecx, 4 Mi
    "66b801010101 6766f3ab"  # mov eax, 0x01010101; rep stosd
    "f4 ebfd"  # hlt; jmp to hlt
    "0f00 3b7c0000"  # 0x7c35: the descriptor table has 16 bytes at 0x7c3b
    "0000000000000000 ffff00000092cf00"
)


def boot_sector(program: bytes) -> bytes:
    """The first sector of a disk that runs this program."""
    return program.ljust(510, b"\0") + b"\x55\xaa"
