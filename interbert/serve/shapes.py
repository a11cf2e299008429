"""What requests look like. Ours are closed; those that others have defined may carry fields that say nothing here."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, FailFast, Field, Tag, ValidationError


class _FirstFault(FailFast):
    """Of a list in which much is wrong. It can be part of a union: it has a hash."""

    __hash__ = object.__hash__


Several = _FirstFault()
Scalar = str | int | float | bool
Row = Annotated[list[float], Several]
Rows = Annotated[list[Row], Several]
Numbers = str | Rows
MOST_NAMES = 64
Filter = Annotated[dict[str, Scalar | Annotated[list[Scalar], Several]], Field(max_length=MOST_NAMES)]
FAULTS_TOLD = 3


class Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Tolerant(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class SearchBody(Closed):
    """The items that fit a query, or a topic of several short texts."""

    query: str | None = None
    topic: Annotated[list[str], Several] | None = None
    k: int = 10
    candidates: int | None = Field(None, description="that the first stage hands on")
    rerank: bool = True
    filter: Filter = {}
    exclude: Annotated[list[str], Several] = []
    explain: bool = False


class RecommendBody(Closed):
    """Of a topic what fits and is not all alike, without what was seen."""

    topic: Annotated[list[str], Several]
    k: int = 10
    candidates: int | None = Field(None, description="of which they are chosen")
    filter: Filter = {}
    seen: Annotated[list[str], Several] = Field([], description="ids")
    diversity: float = Field(0.3, description="0: by fit alone, 1: by difference alone")
    cap: int | None = Field(None, description="most items with one value of the attribute cap_by")
    cap_by: str = "seller"


class SwapBody(Closed):
    """Paths on the server, of an index and the model that made it."""

    index: str
    model: str


class RegionsBody(Closed):
    """What a detector or a patch encoder says of an image."""

    features: Numbers = Field(description="base64 of numbers row by row, little-endian, or lists")
    boxes: Rows = Field(description="x1, y1, x2, y2 in pixels")
    size: Annotated[list[int], Field(min_length=2, max_length=2)] = Field(description="width, height")
    dtype: Literal["float16", "float32"] = Field("float16", description="of base64")
    features_of: str | None = Field(None, description="the detector or encoder")


class NamedBody(Closed):
    id: str
    title: str = ""
    attributes: Annotated[dict[str, Scalar], Field(max_length=MOST_NAMES)] = {}


class ItemBody(NamedBody, RegionsBody):
    """By its regions."""


class PictureBody(NamedBody):
    """By its picture, of which a server with a detector or an encoder finds the regions."""

    image: str = Field(description="base64 of a JPEG, PNG, WebP, BMP, GIF or TIFF")


def _kind(sent: Any) -> str:
    return (
        "image"
        if isinstance(sent, PictureBody) or (isinstance(sent, dict) and "image" in sent)
        else "regions"
    )


class ItemsBody(Closed):
    """Items of which one whose id is there takes that one's place."""

    items: Annotated[
        list[
            Annotated[
                Annotated[ItemBody, Tag("regions")] | Annotated[PictureBody, Tag("image")],
                Discriminator(_kind),
            ]
        ],
        Several,
    ]


class IdBody(Closed):
    id: str


class RerankBody(Tolerant):
    """As Cohere and Jina have it; a text among the documents is the id of an item."""

    query: str
    documents: Annotated[list[str | IdBody | RegionsBody], Several]
    top_n: int | None = None
    return_documents: bool = False


class TeiRerankBody(Tolerant):
    """As text-embeddings-inference has it; texts are ids of items."""

    query: str
    texts: Annotated[list[str], Several]
    raw_scores: bool = False
    return_text: bool = False


class EmbeddingsBody(Tolerant):
    """As OpenAI has it; or regions of images in place of texts."""

    input: str | Annotated[list[str], Several] | Annotated[list[RegionsBody], Several]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


Shape = TypeVar("Shape", bound=BaseModel)
BODIES = (
    SearchBody,
    RecommendBody,
    SwapBody,
    ItemsBody,
    ItemBody,
    PictureBody,
    RerankBody,
    TeiRerankBody,
    EmbeddingsBody,
)


def shaped(shape: type[Shape], value: Any) -> Shape:
    """ValueError with what, where and the remedy."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        said = "; ".join(_told(shape, fault) for fault in faults[:FAULTS_TOLD])
        more = f"; and {len(faults) - FAULTS_TOLD} more faults" if len(faults) > FAULTS_TOLD else ""
        raise ValueError(said + more) from None


def _told(shape: type[BaseModel], fault: Any) -> str:
    where = ".".join(str(part)[:100] for part in fault["loc"]) or "the body"
    if fault["type"] == "extra_forbidden":
        return f"{where}: there is no such field; these are: {', '.join(shape.model_fields)}"
    if fault["type"] == "missing":
        return f"{where}: it is missing; send it"
    message = fault["msg"].replace("Input should", "it should")
    return f"{where}: {message[:1].lower()}{message[1:]}"
