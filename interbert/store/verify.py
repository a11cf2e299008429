"""The whole check of a store: its structure, then every row against its checksum and its rules."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from interbert.store import checks
from interbert.store.checksums import index_checksum, row_checksums
from interbert.store.format import ANY_ATTRIBUTES, ATTRIBUTE_ROWS, StoreError
from interbert.store.store import Store

_BLOCK_BYTES = 64 << 20
_SHOWN = 100


@dataclass
class Report:
    """What `verify` found; `faults` is empty where the store is sound."""

    path: Path
    images: int = 0
    regions: int = 0
    captions: int = 0
    swapped: int = 0
    faults: list[str] = field(default_factory=list)
    """The first hundred, each with file, dataset, row, image id and remedy."""
    fault_count: int = 0

    @property
    def ok(self) -> bool:
        return self.fault_count == 0

    def add(self, fault: str) -> None:
        self.fault_count += 1
        if len(self.faults) < _SHOWN:
            self.faults.append(fault)

    def __str__(self) -> str:
        if self.ok:
            counts = f"{self.images} images, {self.regions} regions, {self.captions} captions"
            return f"{self.path}: sound: {counts}, {self.swapped} swapped captions"
        hidden = self.fault_count - len(self.faults)
        lines = [f"{self.path}: {self.fault_count} fault{'s' if self.fault_count > 1 else ''}"]
        lines += [f"  {fault}" for fault in self.faults] + ([f"  and {hidden} more"] if hidden else [])
        return "\n".join(lines)


def verify(path: str | Path, progress: Callable[[int], None] | None = None) -> Report:
    """Check everything in the store at `path`; `progress` is told each time how many more images are done."""
    report = Report(Path(path))
    try:
        store = Store(path)
    except StoreError as error:
        report.add(str(error))
        return report
    with store:
        report.images, report.regions = store.images, store.regions
        report.captions, report.swapped = store.captions, store.swapped
        try:
            for fault in _index_faults(store):
                report.add(f"{store.path}: {fault}")
            for start, stop in _blocks(store):
                for fault in _block_faults(store, start, stop):
                    report.add(f"{store.path}: {fault}")
                if progress:
                    progress(stop - start)
            for fault in _text_faults(store):
                report.add(f"{store.path}: {fault}")
        except (StoreError, OSError) as error:
            report.add(str(error))
    return report


def _index_faults(store: Store) -> Iterator[str]:
    fault = checks.faulty_sizes(store.sizes)
    if fault:
        yield f"dataset 'sizes': row {fault[0]}, image {store.image_id(fault[0])!r}: {fault[1]}"
    kinds = np.flatnonzero(store.caption_kind > 1)
    if len(kinds):
        yield f"dataset 'captions/kind': row {kinds[0]} is {store.caption_kind[kinds[0]]}; a kind is 0 or 1"
    for head in store.class_head or ():
        if not np.isfinite(head).all():
            yield "group 'class_head' holds NaN or infinity; export it from the detector again"
    stored = store.layout.index_checksum
    if stored is not None and stored != index_checksum(
        lambda name: store.blocks(name) if name in store.extents else None,
        map(b"\0".join, store.ids.blocks()),
    ):
        yield (
            "attribute 'index_checksum' does not match: image_ids, sizes, offsets or a caption's image "
            "changed after writing; copy the file again or write it anew"
        )


def _blocks(store: Store) -> Iterator[tuple[int, int]]:
    """Image ranges whose rows fit the block size (or that are one image)."""
    row_bytes = sum(store.extents[name].row_bytes for name in store.row_datasets)
    rows = max(_BLOCK_BYTES // row_bytes, 1)
    start = 0
    while start < store.images:
        stop = int(np.searchsorted(store.offsets, store.offsets[start] + rows, side="right")) - 1
        stop = min(max(stop, start + 1), store.images)
        yield start, stop
        start = stop


def _block_faults(store: Store, start: int, stop: int) -> Iterator[str]:
    first, last = int(store.offsets[start]), int(store.offsets[stop])
    rows = {name: store.read_rows(name, first, last) for name in store.row_datasets}
    counts_I = np.diff(store.offsets[start : stop + 1])
    found = np.array(row_checksums(list(rows.values()), counts_I), dtype=np.uint64)
    for image in (np.flatnonzero(found != store.read_rows("checksums", start, stop)) + start).tolist():
        yield f"dataset 'checksums': row {image}, image {store.image_id(image)!r}: {store.changed}"
    sizes_R2 = np.repeat(store.sizes[start:stop], counts_I, axis=0)
    if not any(fault for _, fault in _value_faults(store, rows, sizes_R2)):
        return
    # Something is wrong in this block: ask image by image, so that each one is named.
    for image in range(start, stop):
        a, b = int(store.offsets[image]) - first, int(store.offsets[image + 1]) - first
        part = {name: values[a:b] for name, values in rows.items()}
        for dataset, fault in _value_faults(store, part, sizes_R2[a:b]):
            if fault:
                row = first + a + fault[0]
                yield (
                    f"dataset {dataset!r}: row {row}, image {store.image_id(image)!r} (region {fault[0]}): "
                    f"{fault[1]}; correct it or leave the image out"
                )


def _value_faults(
    store: Store, rows: dict[str, np.ndarray], sizes_R2: np.ndarray
) -> Iterator[tuple[str, checks.Fault | None]]:
    yield "features", checks.faulty_features(rows["features"])
    yield "boxes", checks.faulty_boxes(rows["boxes"], sizes_R2)
    if "class_probs" in rows:
        yield "class_probs", checks.faulty_probabilities(rows["class_probs"])
    if "labels" in rows:
        yield "labels", checks.faulty_labels(rows["labels"], rows["confidence"], store.classes)
    if store.has_attributes:
        kinds = len(store.attribute_names) if store.attribute_names else ANY_ATTRIBUTES
        yield ATTRIBUTE_ROWS[0], checks.faulty_labels(*(rows[name] for name in ATTRIBUTE_ROWS), kinds)


def _text_faults(store: Store) -> Iterator[str]:
    for group, count in (("captions", store.captions), ("swapped", store.swapped)):
        if not count:
            continue
        has_checksums = f"{group}/checksums" in store.extents
        checksums = store.read_rows(f"{group}/checksums", 0, count).tolist() if has_checksums else None
        for number, data in enumerate(store.text_bytes(group)):
            fault = ""
            if checksums and xxhash.xxh3_64_intdigest(data) != checksums[number]:
                fault = (
                    "checksum mismatch: the text changed after writing; copy the file again or write it anew"
                )
            elif not data.strip():
                fault = "the text is empty; leave such captions out"
            elif 0 in data:
                fault = "the text has a NUL in it; write it anew without"
            else:
                try:
                    data.decode()
                except UnicodeDecodeError as error:
                    fault = f"not UTF-8 ({error}); write the text anew"
            if fault:
                yield f"dataset '{group}/text': row {number}, {_owner(store, group, number)}: {fault}"


def _owner(store: Store, group: str, number: int) -> str:
    caption = number if group == "captions" else int(store.swapped_caption[number])
    return f"image {store.image_id(int(store.caption_image[caption]))!r}"
