"""What the instructions of sm_90 do to integers, addresses and predicates; of data they make unknowns.

`meaning` turns an instruction into a function of a warp. It returns what the clock must know beyond the instruction's
name: None; OFF, if no lane does it; or an `Effect` on memory, barriers or the path.
"""

from collections.abc import Callable

from benchmarks.kernel_model import access, arithmetic, exchange, path, truths
from benchmarks.kernel_model.code import Instruction
from benchmarks.kernel_model.effects import OFF, Unknown
from benchmarks.kernel_model.operands import computed, forgotten, predicate


def meaning(i: Instruction, targets: dict[str, int]) -> Callable:
    maker = MAKERS.get(i.base)
    action = maker(i, targets) if maker else forgotten(i)
    guard = predicate(i.guard) if i.guard else None
    if guard is None:
        return lambda w: action(w, w.mask)

    def guarded(w):
        go = guard(w)
        if go is False:
            return OFF
        if go is True:
            return action(w, w.mask)
        if go is None:
            if i.base in PATH:
                raise Unknown(f"{i.at:#x}: {i.guard} {i.name} depends on data")
            return action(w, w.mask)
        mask = go if w.mask is None else go & w.mask
        return action(w, mask) if mask.any() else OFF

    return guarded


PATH = {"BRA", "EXIT", "BRX", "RET", "CALL"}


MAKERS = {
    **dict.fromkeys(["IADD3", "UIADD3", "VIADD", "UVIADD"], arithmetic.add),
    **dict.fromkeys(["IMAD", "UIMAD"], arithmetic.multiply_add),
    **dict.fromkeys(["SHF", "USHF"], arithmetic.shift),
    **dict.fromkeys(["LEA", "ULEA"], arithmetic.scaled_add),
    **dict.fromkeys(["LOP3", "ULOP3"], arithmetic.logic),
    **dict.fromkeys(["PLOP3", "UPLOP3"], truths.predicate_logic),
    **dict.fromkeys(["ISETP", "UISETP"], truths.compare),
    **dict.fromkeys(["SEL", "USEL", "FSEL"], arithmetic.choose),
    **dict.fromkeys(["MOV", "UMOV"], arithmetic.move),
    **dict.fromkeys(["VIMNMX", "VIADDMNMX", "IMNMX"], arithmetic.extreme),
    **dict.fromkeys(["S2R", "S2UR", "CS2R"], exchange.special_register),
    **dict.fromkeys(["LDC", "ULDC"], exchange.constant),
    **dict.fromkeys(["PRMT", "UPRMT"], arithmetic.permute),
    **dict.fromkeys(["VOTE", "VOTEU"], exchange.vote),
    **dict.fromkeys(["LDSM", "STSM"], access.matrices),
    "HGMMA": access.group_product,
    **dict.fromkeys(["ATOMG", "RED", "ATOMS"], access.atomic),
    **dict.fromkeys(["UTMALDG", "UBLKCP", "UTMASTG", "UTMAREDG", "UBLKRED"], access.bulk),
    "IABS": arithmetic.absolute,
    "I2F": arithmetic.to_float,
    "I2FP": arithmetic.to_float,
    "F2I": arithmetic.to_integer,
    "MUFU": arithmetic.special,
    "P2R": truths.predicates_out,
    "R2P": truths.predicates_in,
    "R2UR": exchange.to_uniform,
    "SHFL": exchange.shuffle,
    "REDUX": exchange.reduction,
    "ELECT": exchange.elect,
    "POPC": arithmetic.population,
    "FCHK": lambda i, _: computed(i, [i.operands[0]], [], lambda: [False]),
    "LDG": access.load_global,
    "STG": access.store_global,
    "LDGSTS": access.copy,
    "LDL": access.load_local,
    "STL": access.store_local,
    "LDS": access.load_shared,
    "STS": access.store_shared,
    "BAR": access.block_barrier,
    "SYNCS": access.transaction,
    "BRA": path.branch,
    "BSSY": path.begin_branches,
    "BSYNC": path.end_branches,
    "EXIT": path.leave,
    "CALL": path.call,
    "RET": path.give_back,
}
