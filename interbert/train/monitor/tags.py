"""Under which tag TensorBoard shows a figure of metrics.jsonl.

TensorBoard groups tags by what stands before the first slash, sorts the groups by the alphabet and opens the first
two. So losses come first, and what is watched over a run must not begin with an earlier letter.
"""

SPEED = frozenset({"samples_per_second", "tokens_per_second", "data_wait_share", "packing_efficiency"})
LOSS, VALIDATION_LOSS = "loss/total", "validation/loss"


def tag_of(figure: str) -> str:
    if figure == "loss":
        return LOSS
    if figure.startswith(("loss/", "validation/")):
        return figure
    if figure.endswith("/accuracy"):
        return f"objectives/{figure.removesuffix('/accuracy')}_accuracy"
    return f"speed/{figure}" if figure in SPEED else f"run_health/{figure}"
