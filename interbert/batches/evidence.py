"""Which objectives a data set can serve, by the class evidence that it holds of its regions."""

from collections.abc import Iterable

CLASS_OBJECTIVES = frozenset({"mrm", "moc"})
"""They learn from the detector's classes."""
SERVED = {
    "class_probs": CLASS_OBJECTIVES,
    "class_head": CLASS_OBJECTIVES,
    "labels": frozenset({"moc"}),
    None: frozenset(),
}


def refuse_unserved(objectives: Iterable[str], evidence: str | None) -> None:
    """Names the objectives that the data cannot serve, those that it can, and what to type."""
    asked = list(objectives)
    lacking = [name for name in asked if name in CLASS_OBJECTIVES - SERVED[evidence]]
    if not lacking:
        return
    served = [name for name in asked if name not in lacking]
    instead = next(name for name in ("moc", "mrfr") if name in SERVED[evidence] or name == "mrfr")
    line = [f"--set objectives.{name}=0" for name in lacking]
    if instead not in served:
        line.append(f"--set objectives.{instead}=1")
    has = f"only {evidence}" if evidence else "no class evidence"
    raise ValueError(
        f"objectives: {' and '.join(lacking)} cannot be served: the data holds {has} of its regions. It serves "
        f"{', '.join([*served, *({instead} - set(served))])}; type {' '.join(line)}"
    )


def evidence_to_read(objectives: Iterable[str], evidence: str | None) -> str | None:
    """The dataset that batches need rows of: none where no objective asks, or where it is computed on the device."""
    asked = list(objectives)
    refuse_unserved(asked, evidence)
    return evidence if CLASS_OBJECTIVES & set(asked) and evidence != "class_head" else None
