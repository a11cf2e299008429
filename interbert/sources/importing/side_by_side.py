"""Arrays of several images in one piece of memory from the start: joining them would cost as much as storing them."""

import numpy as np

from interbert.store.halves import floats_to_halves


class SideBySide:
    """Room for float16 of some images, as many for each as the first one takes."""

    def __init__(self, images: int) -> None:
        self._images, self._room, self._taken = images, np.empty((0, 0), "<f2"), 0

    def halves(self, values_NW: np.ndarray | None) -> np.ndarray | None:
        """Of float32, behind those before where there is room; anything else is for whoever stores it."""
        if values_NW is None or values_NW.dtype != np.float32 or values_NW.ndim != 2:
            return values_NW
        rows, width = values_NW.shape
        if not self._taken:
            self._room = np.empty((rows * self._images, width), "<f2")
        if width != self._room.shape[1] or self._taken + rows > len(self._room):
            return floats_to_halves(values_NW, np.empty(values_NW.shape, "<f2"))
        self._taken += rows
        return floats_to_halves(values_NW, self._room[self._taken - rows : self._taken])


def joined(arrays: list[np.ndarray]) -> np.ndarray:
    """One behind the other; without copying them where they lie so."""
    room = arrays[0].base
    if not isinstance(room, np.ndarray) or room.ndim != 2 or any(array.base is not room for array in arrays):
        return np.concatenate(arrays)
    first = place = _place(arrays[0])
    for array in arrays:
        if _place(array) != place or array.shape[1:] != room.shape[1:] or not array.flags.c_contiguous:
            return np.concatenate(arrays)
        place += array.nbytes
    row = (first - _place(room)) // max(room.strides[0], 1)
    return room[row : row + sum(map(len, arrays))]


def _place(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
