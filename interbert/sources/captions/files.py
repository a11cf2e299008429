"""What a user said of captions: which files, and how they are to be taken."""

from dataclasses import dataclass
from pathlib import Path

from interbert.sources.captions.layout import Layout
from interbert.sources.captions.layouts import recognise
from interbert.sources.captions.names import CHOICES
from interbert.sources.captions.text_file import ENCODING, check_encoding


@dataclass(frozen=True)
class CaptionFiles:
    files: tuple[Path, ...] = ()
    splits: tuple[str, ...] = ()
    """Only these splits' images and captions; none named: all."""
    encoding: str = ENCODING
    match: str = "auto"
    """A name of CHOICES: by which rules names may meet."""
    allow_unmatched: bool = False
    """Whether a file may give no caption, or match no image."""

    def __post_init__(self) -> None:
        assert self.match in CHOICES
        check_encoding(self.encoding)
        if self.splits and not self.files:
            raise ValueError("--split chooses among captions: give --captions with it")
        for number, path in enumerate(self.files):
            if path in self.files[:number]:
                raise ValueError(f"--captions {path} is given twice: leave one out")

    def layouts(self) -> list[Layout]:
        """ImportFault where a file is none of captions: before any long work."""
        return [recognise(path, self.encoding) for path in self.files]
