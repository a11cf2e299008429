"""What the model takes a GPU of sm_90 for. The one place of its constants.

They were set before any kernel of ours ran on a device, from the sources named beside them. From now on only a
measurement on a device changes them, never a prediction that one would like better.

    guide   CUDA C++ Programming Guide, "Arithmetic Instructions": results a clock and multiprocessor, capability 9.0
    tuning  NVIDIA Hopper Tuning Guide, "Occupancy" and "Shared Memory"
    papers  Luo et al., arXiv 2402.13499 and 2501.12084: microbenchmarks of Hopper
    device  measured on an H200: 4.3 TB/s by a device copy, read and written bytes counted; 1980 MHz after products
    ours    neither published nor measured: an assumption
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Machine:
    multiprocessors: int = 132  # device
    clock_hz: float = 1.755e9  # the lower of the clocks seen under load (1.755 to 1.98): papers, device
    copy_bytes_per_s: float = 4.3e12  # device
    launch_seconds: float = (
        1.5e-6  # from a kernel's start to its first instruction and back, in a graph: ours
    )

    schedulers: int = 4  # each issues an instruction a clock: tuning
    registers: int = 65536  # tuning
    registers_step: int = 256  # of a warp: tuning
    warps: int = 64  # tuning
    blocks: int = 32  # tuning
    shared_bytes: int = 228 * 1024  # tuning
    shared_of_block: int = 1024  # taken by the system for each block: tuning

    # Clocks for which an instruction of a warp holds its unit, one unit a scheduler.
    busy: dict[str, float] = field(
        default_factory=lambda: {
            "float": 1,  # 128 results a clock and multiprocessor: guide
            "integer": 2,  # 64, adders, logic, shifts, comparisons, conversions of floats to 16 bits: guide
            "multiply": 2,  # 64, integer multiply-add, and moves written as such: guide
            "special": 8,  # 16, exponential, logarithm, reciprocal, integer from float: guide
            "tensor": 6.4,  # m16n8k16: 4 at the rate of wgmma, of which mma.sync reaches 62 %: papers
            "uniform": 2,  # ours
            "memory": 2,  # address and data of 32 lanes to the memory pipe: ours
            "control": 1,
        }
    )
    # Clocks until a result can be used, of instructions whose users wait for a scoreboard (others have it encoded).
    latency: dict[str, float] = field(
        default_factory=lambda: {
            "shared": 29,  # papers
            "matrices": 33,  # ldmatrix, four of them: papers give 29 and a clock for each wavefront
            "shuffle": 24,  # ours
            "special": 24,  # ours
            "constant": 40,  # ours
            "L1": 41,  # papers
            "L2": 270,  # papers
            "memory": 600,  # without load: papers give 480 to 740
            "group": 32,  # from the end of a product of four warps until it is known, as of one: ours
            "bulk": 250,  # by which a bulk copy takes longer than a load of a thread: papers
            "block": 300,  # from a block's end to the first instruction of the next: ours
            "barrier": 20,  # from the last arrival to the first instruction behind it: ours
        }
    )
    shared_wavefront_bytes: int = 128  # a clock: tuning
    # Of a product of 64 rows, 16 deep, by four warps (wgmma): 4,096 operations a clock (datasheet) are m64n256k16
    # in 128 clocks. Operands in shared memory take as many wavefronts as they have bytes: ours
    group_columns_per_clock: int = 2
    L2_bytes_per_clock: float = (
        28  # of one multiprocessor while all read: 5.5 to 6 TB/s, chipsandcheese.com, 2023
    )

    @property
    def bytes_per_clock(self) -> float:
        """Of device memory, for one multiprocessor of all that use it at once."""
        return self.copy_bytes_per_s / self.multiprocessors / self.clock_hz

    def blocks_at_once(self, threads: int, registers: int, shared: int) -> int:
        """On one multiprocessor."""
        warps = -(-threads // 32)
        of_warp = -(-registers * 32 // self.registers_step) * self.registers_step
        by_registers = self.registers // self.schedulers // of_warp * self.schedulers // warps
        by_shared = self.shared_bytes // (shared + self.shared_of_block)
        return min(self.blocks, self.warps // warps, by_registers, by_shared)


UNITS = {
    "float": "FADD FMUL FFMA HADD2 HMUL2 HFMA2 FADD32I",
    "multiply": "IMAD",
    "integer": """IADD3 VIADD LOP3 SHF LEA ISETP FSETP FMNMX SEL FSEL PRMT IABS P2R R2P MOV F2FP VIMNMX VIADDMNMX
                  PLOP3 CS2R VABSDIFF I2FP IMNMX HSET2 HSETP2 FSET BMSK SGXT LEPC""",
    "special": "MUFU I2F F2I FCHK POPC FLO BREV F2F",
    "tensor": "HMMA IMMA HGMMA",
    "uniform": """UIADD3 UIMAD ULOP3 USHF ULEA UISETP UMOV USEL UPLOP3 UPRMT UP2UR UR2UP UFLO UPOPC R2UR VOTEU
                  UVIADD UBREV USGXT UBMSK VOTE""",
    "memory": """LDS STS LDSM STSM LDG STG LDGSTS SHFL ATOMS ATOMG RED ATOM REDUX LD ST SYNCS UTMALDG UTMASTG
                 UBLKCP UBLKPF LDL STL UTMAPF UTMACMDFLUSH UTMACCTL MATCH""",
    "control": """BRA BSSY BSYNC EXIT NOP WARPSYNC CALL RET BAR DEPBAR LDGDEPBAR ENDCOLLECTIVE LDC ULDC S2R S2UR
                  FENCE MEMBAR ERRBAR CCTL ELECT NANOSLEEP YIELD BREAK BMOV WARPGROUP UCGABAR_ARV ACQBULK
                  PREEXIT USETMAXREG CCTLL BPT KILL UCGABAR_WAIT""",
}
"""Which unit an instruction needs, by the first part of its name."""

UNIT_OF = {name: unit for unit, names in UNITS.items() for name in names.split()}
