"""The model of the attention kernels: its parts by themselves, what it predicted, and that this gets no worse."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_device_code import needs_nvcc

from benchmarks.attention_model import DIRECTIONS, SEQUENCES, SETS, bounds, compiled_kernels, predict, ratio
from benchmarks.kernel_model.clock import Clock
from benchmarks.kernel_model.code import NONE, Kernel, Missing, instruction, nvdisasm
from benchmarks.kernel_model.machine import Machine
from benchmarks.kernel_model.state import Block, Code, Counter, Memory, Region, constants_of
from benchmarks.kernel_model.values import LANES, wavefronts

RECORDED = Path(__file__).parents[2] / "benchmarks" / "attention_predicted.json"
MACHINE = Machine()
PLAIN = NONE << 5 | NONE << 8 | 1
"""Of an instruction that raises no counter and awaits none: a clock of stall."""


def awaiting(counter):
    return PLAIN | 1 << 11 + counter


def raising(counter):
    return PLAIN & ~(NONE << 5) | counter << 5


def execute(lines, threads=32, arguments=(), regions=(), blocks=1):
    """`lines`: a text, or a text with its control word; a name with a colon is a label."""
    instructions, labels = [], {}
    for line in lines:
        text, control = line if isinstance(line, tuple) else (line, PLAIN)
        if text.endswith(":"):
            labels[text[:-1]] = len(instructions)
        else:
            instructions.append(instruction(16 * len(instructions), text, control))
    data = b"".join(x.to_bytes(8, "little") for x in arguments)
    memory = Memory(list(regions))
    code = Code(Kernel("test", instructions, labels))
    constants = constants_of(data, threads, blocks)
    made = [Block(n, threads, code, constants, memory) for n in range(blocks)]
    return Clock(MACHINE, memory, iter(made), blocks).run()


@pytest.mark.parametrize(
    ("left", "wavefronts"), [("gdesc[UR4]", 16 + 16), ("R52", 16), ("gdesc[UR4].tnspA", 16 + 16)]
)
def test_a_product_of_four_warps_holds_its_units_and_is_waited_for(left, wavefronts):
    product = f"HGMMA.64x64x16.F32.BF16 R24, {left}, gdesc[UR8].tnspB, R24, gsb0"
    if left != "R52":
        product = f"HGMMA.64x64x16.F32.BF16 R24, {left}.tnspB, RZ, !UPT, gsb0"
    report = execute([product, "WARPGROUP.DEPBAR.LE gsb0, 0x0", "EXIT"], threads=128)
    assert report.held["tensor"] == 4 * 32
    assert report.wavefronts["product"] == wavefronts
    assert report.clocks >= 32 + MACHINE.latency["group"]
    goes_on = execute([product, "WARPGROUP.DEPBAR.LE gsb0, 0x1", "EXIT"], threads=128)
    assert goes_on.clocks < 32


def test_comparisons_in_bits_of_a_register_are_followed():
    report = execute(
        [
            "ISETP.GE.AND P6, PT, RZ, RZ, PT",
            "LOP3.LUT R17, R17, 0xfffffff7, RZ, 0xc0, !PT",
            "@P6 LOP3.LUT R17, R17, 0x8, RZ, 0xfc, !PT",
            "LOP3.LUT P5, RZ, R17, 0x8, RZ, 0xc0, !PT",
            "@P5 BRA `(.L_1)",
            "MUFU.EX2 R1, R1",
            ".L_1:",
            "EXIT",
        ]
    )
    assert report.named["MUFU"] == 0


def test_what_lanes_agree_on_becomes_uniform():
    report = execute(
        [
            "REDUX.MAX.S32 UR4, RZ",
            "UISETP.NE.AND UP0, UPT, UR4, URZ, UPT",
            "@UP0 BRA `(.L_1)",
            "MUFU.EX2 R1, R1",
            ".L_1:",
            "EXIT",
        ]
    )
    assert report.named["MUFU"] == 1


LOAD_LENGTH = ["LDC.64 R2, c[0x0][0x210]", "LDG.E R4, desc[UR4][R2.64]"]


@pytest.mark.parametrize("length", [1, 5, 96])
def test_a_loop_runs_as_often_as_a_length_in_memory_says(length):
    words = Region(1 << 40, 4, np.array([length]))
    report = execute(
        [
            *LOAD_LENGTH,
            "MOV R0, RZ",
            ".L_1:",
            "HMMA.16816.F32.BF16 R8, R12, R16, R8",
            "IADD3 R0, R0, 0x1, RZ",
            "ISETP.GE.AND P0, PT, R0, R4, PT",
            "@!P0 BRA `(.L_1)",
            "EXIT",
        ],
        arguments=[1 << 40],
        regions=[words],
    )
    assert report.named["HMMA"] == length
    assert report.read == 32


DIVISION = [
    "LDC R13, c[0x0][0x210]",
    "LDC R7, c[0x0][0x214]",
    "I2F.RP R2, R13",
    "MUFU.RCP R2, R2",
    "VIADD R2, R2, 0xffffffe",
    "F2I.FTZ.U32.TRUNC.NTZ R3, R2",
    "IMAD.MOV R0, RZ, RZ, -R3",
    "IMAD.MOV.U32 R2, RZ, RZ, RZ",
    "IMAD R0, R0, R13, RZ",
    "IMAD.HI.U32 R3, R3, R0, R2",
    "IMAD.HI.U32 R4, R3, R7, RZ",
    "IMAD.MOV R5, RZ, RZ, -R4",
    "IMAD R5, R13, R5, R7",
    "ISETP.GT.U32.AND P1, PT, R13, R5, PT",
    "@!P1 IADD3 R4, R4, 0x1, RZ",
    "@!P1 IMAD.IADD R5, R5, 0x1, -R13",
    "ISETP.GE.U32.AND P1, PT, R5, R13, PT",
    "@P1 IADD3 R4, R4, 0x1, RZ",
]
"""Of integers, as the compiler writes it: R4 becomes the quotient."""


@pytest.mark.parametrize("number, by", [(162, 12), (6143, 12), (7, 8), (0, 5), (1 << 20, 7)])
def test_integers_are_divided(number, by):
    check = f"ISETP.NE.AND P0, PT, R4, {number // by:#x}, PT"
    lines = [*DIVISION, check, "@P0 BRA `(.L_1)", "MUFU.EX2 R1, R1", ".L_1:", "EXIT"]
    assert execute(lines, arguments=[number << 32 | by]).named["MUFU"] == 2


def test_each_lane_divides_by_its_own():
    """Where lanes have parted, what some have written differs from what the others have."""
    own = ["S2R R1, SR_TID.X", "VIADD R13, R1, 0x1"]
    check = ["IMAD R5, R4, R13, RZ", "IADD3 R5, -R5, R7, RZ", "ISETP.LT.U32.AND P0, PT, R5, R13, PT"]
    lines = [*own, *DIVISION[1:], *check, "@P0 BRA `(.L_1)", "MUFU.EX2 R1, R1", ".L_1:", "EXIT"]
    assert execute(lines, arguments=[162 << 32]).named["MUFU"] == 1


def test_lanes_that_part_meet_again():
    report = execute(
        [
            "S2R R0, SR_TID.X",
            "ISETP.GE.AND P0, PT, R0, 0x8, PT",
            "BSSY B0, `(.L_2)",
            "@P0 BRA `(.L_1)",
            "FADD R1, R2, R3",
            ".L_1:",
            "BSYNC B0",
            ".L_2:",
            "FMUL R1, R2, R3",
            "@P0 EXIT",
            "MUFU.EX2 R1, R1",
            "EXIT",
        ]
    )
    assert [report.named[x] for x in ("FADD", "FMUL", "MUFU")] == [1, 1, 1]
    assert report.named["BSYNC"] == 2


def test_an_instruction_that_no_lane_does_takes_a_place_and_no_unit():
    report = execute(
        ["ISETP.NE.AND P0, PT, RZ, RZ, PT", *["@P0 HMMA.16816.F32 R8, R12, R16, R8"] * 5, "EXIT"]
    )
    assert report.issued["off"] == 5 and report.issued["tensor"] == 0


def test_what_waits_for_memory_goes_on_when_it_has_come():
    lines = [("LDG.E R4, desc[UR4][R2.64]", raising(0)), ("FADD R1, R4, R4", awaiting(0)), "EXIT"]
    region = Region(1 << 40, 1 << 20)
    report = execute([LOAD_LENGTH[0], *lines], arguments=[1 << 40], regions=[region])
    assert MACHINE.latency["memory"] < report.clocks < MACHINE.latency["memory"] + 100
    assert report.waits["load"] >= MACHINE.latency["memory"]


def test_warps_of_a_block_wait_for_each_other():
    slow = ["S2R R0, SR_TID.X", "ISETP.GE.AND P0, PT, R0, 0x20, PT", "@P0 BRA `(.L_1)"]
    report = execute([*slow, *["MUFU.EX2 R1, R1"] * 50, ".L_1:", "BAR.SYNC 0x0", "EXIT"], threads=64)
    assert report.waits["barrier"] > 50 * MACHINE.busy["special"]


def test_units_bound_what_many_warps_do_at_once():
    report = execute([*["HMMA.16816.F32 R8, R12, R16, R8"] * 100, "EXIT"], threads=512)
    assert report.clocks == pytest.approx(16 / 4 * 100 * MACHINE.busy["tensor"], rel=0.02)


@pytest.mark.parametrize("size", [4096, 65536])
def test_a_bulk_copy_lets_those_go_on_that_wait_at_its_barrier(size):
    report = execute(
        [
            "UMOV UR8, 0x400",
            "UMOV UR9, 0x10",
            "UMOV UR4, 0x1ffffe",  # a barrier of one arrival
            "S2R R0, SR_TID.X",
            "ISETP.NE.AND P0, PT, R0, RZ, PT",
            "VOTEU.ALL UP0, P0",
            "@!UP0 SYNCS.EXCH.64 URZ, [UR9], UR4",
            "BAR.SYNC.DEFER_BLOCKING 0x0",
            "BSSY B0, `(.L_2)",
            "@P0 BRA `(.L_1)",
            f"MOV R6, {size:#x}",
            "SYNCS.ARRIVE.TRANS64 RZ, [UR9], R6",
            "UTMALDG.3D [UR8], [UR12]",
            ".L_1:",
            "BSYNC B0",
            ".L_2:",
            ("SYNCS.PHASECHK.TRANS64.TRYWAIT P1, [UR9], RZ", raising(0)),
            ("@!P1 BRA `(.L_2)", awaiting(0)),
            "EXIT",
        ],
        threads=128,
    )
    came = size / MACHINE.bytes_per_clock + MACHINE.latency["memory"] + MACHINE.latency["bulk"]
    assert report.read == size
    assert came <= report.clocks < came + 150
    assert report.waits["mbarrier"] > 4 * 0.9 * came


def test_draws_of_a_counter_leave_the_other_multiprocessors_theirs():
    counter = Region(1 << 40, 4, in_L2=True, counter=Counter(3, 10))
    lines = [LOAD_LENGTH[0]]
    for _ in range(3):
        lines.append("ATOMG.E.ADD.STRONG.GPU PT, R4, desc[UR4][R2.64], R5")
    lines += ["ISETP.NE.AND P0, PT, R4, 0x17, PT", "@P0 BRA `(.L_1)", "MUFU.EX2 R1, R1", ".L_1:", "EXIT"]
    assert execute(lines, arguments=[1 << 40], regions=[counter]).named["MUFU"] == 1


def test_wavefronts_of_shared_memory():
    assert wavefronts(4 * LANES, 4) == 1
    assert wavefronts(8 * LANES, 4) == 2
    assert wavefronts(128 * LANES, 4) == 32
    assert wavefronts(16 * LANES, 16) == 4
    assert wavefronts(128 * LANES, 16) == 32
    rows = LANES % 8
    assert wavefronts(128 * rows + 16 * ((LANES // 8) ^ rows), 16) == 4


def test_blocks_at_once():
    assert MACHINE.blocks_at_once(256, 128, 100 * 1024) == 2
    assert MACHINE.blocks_at_once(256, 129, 40 * 1024) == 1
    assert MACHINE.blocks_at_once(128, 255, 40 * 1024) == 2
    assert MACHINE.blocks_at_once(128, 32, 8 * 1024) == 16


# What was predicted.


@pytest.fixture(scope="module")
def recorded():
    return json.loads(RECORDED.read_text())


def test_what_is_recorded_follows_from_what_was_counted(recorded):
    assert {(x["direction"], x["lengths"]) for x in recorded["details"]} == {
        (d, s) for d in DIRECTIONS for s in SETS
    }
    for found in recorded["details"]:
        assert found["ratio"] == recorded[found["direction"]][found["lengths"]]
        assert found["ratio"] == pytest.approx(
            ratio(MACHINE, found["clocks"], found["floor_bytes"]), abs=0.001
        )
        # No part of the machine does more than it can.
        for part, alone in bounds(MACHINE, found).items():
            assert alone <= found["ratio"], part


def test_all_bytes_that_must_be_moved_are(recorded):
    for found in recorded["details"]:
        # Rows are read 16 at a time, whatever a sequence's end.
        moved = found["bytes_read"] + found["bytes_written"]
        assert 0.97 < moved / found["floor_bytes"] < 1.25, found


def test_the_known_kernel_is_predicted_within_a_tenth(recorded):
    for length, tflops in recorded["known"].items():
        assert tflops["predicted"] == pytest.approx(tflops["measured"], rel=0.1), length


def needs_tools():
    needs_nvcc()
    try:
        nvdisasm()
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    needs_tools()
    return compiled_kernels(64, 90, tmp_path_factory.mktemp("model"))


@pytest.mark.thorough
@pytest.mark.parametrize("lengths", SETS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_no_prediction_gets_worse(direction, lengths, compiled, recorded):
    found = predict(MACHINE, compiled, direction, lengths, SEQUENCES[lengths])
    assert found["ratio"] <= 1.01 * recorded[direction][lengths], found
