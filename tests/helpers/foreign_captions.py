"""The same few captions in every layout, written as the tools that made those layouts wrote them."""

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

TEXTS = ['A "red" dog, running | fast; twice', "über 日本 🙂 it’s", "two\u2028lines are one", "plain"]
"""What a careless reader trips over."""


def captions(count: int = 7) -> dict[str, list[str]]:
    """By the image's number as six digits: one to three each; words alone, as every layout can hold."""
    return {
        f"{n + 17:06d}": [f"{TEXTS[(n + k) % len(TEXTS)]} {n}.{k}" for k in range(1 + n % 3)]
        for n in range(count)
    }


Truth = dict[str, list[str]]


def _flat(truth: Truth) -> list[tuple[str, str]]:
    return [(name, text) for name, texts in truth.items() for text in texts]


def karpathy(path: Path, truth: Truth) -> None:
    images, sentid = [], 0
    for number, (name, texts) in enumerate(truth.items()):
        sentences = []
        for text in texts:
            sentences.append({"tokens": text.split(), "raw": text, "imgid": number, "sentid": sentid})
            sentid += 1
        images.append(
            {
                "filepath": "val2014", "sentids": [s["sentid"] for s in sentences], "cocoid": int(name),
                "filename": f"COCO_val2014_{int(name):012d}.jpg", "imgid": number, "split": "train",
                "sentences": sentences,
            }
        )  # fmt: skip
    path.write_text(json.dumps({"images": images, "dataset": "coco"}), encoding="utf-8")


def _coco_parts(truth: Truth) -> tuple[list, list]:
    images = [
        {
            "license": 5,
            "file_name": f"COCO_train2014_{int(n):012d}.jpg",
            "height": 10,
            "width": 9,
            "id": int(n),
        }
        for n in truth
    ]
    flat = sorted(_flat(truth), key=lambda pair: pair[1].split(".")[-1])  # COCO's are in no order of images
    return images, [
        {"image_id": int(name), "id": n * 3 + 1, "caption": text} for n, (name, text) in enumerate(flat)
    ]


def coco(path: Path, truth: Truth) -> None:
    images, annotations = _coco_parts(truth)
    tree = {"info": {"year": 2014}, "images": images, "licenses": [{"id": 1}], "annotations": annotations}
    path.write_text(json.dumps(tree))


def coco_annotations_first(path: Path, truth: Truth) -> None:
    images, annotations = _coco_parts(truth)
    path.write_text(json.dumps({"annotations": annotations, "type": "captions", "images": images}, indent=1))


def coco_results(path: Path, truth: Truth) -> None:
    path.write_text(json.dumps([{"image_id": int(name), "caption": text} for name, text in _flat(truth)]))


def vilbert(path: Path, truth: Truth) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for name, texts in truth.items():
            item = {"sentences": texts, "id": int(name), "img_path": f"{int(name)}.jpg"}
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


def volta(path: Path, truth: Truth) -> None:
    path.write_text("".join(json.dumps({"sentences": t, "id": n}) + "\n" for n, t in truth.items()))


def caption_train(path: Path, truth: Truth) -> None:
    path.write_text(json.dumps({n: t[0] if len(t) == 1 else t for n, t in truth.items()}))


def token(path: Path, truth: Truth) -> None:
    lines = [f"{name}.jpg#{k}\t{text}" for name, texts in truth.items() for k, text in enumerate(texts)]
    path.write_bytes("\n".join(lines).encode() + b"\n")


def results_csv(path: Path, truth: Truth) -> None:
    """As it is published: blanks behind the bars, and one bar lost."""
    lines = ["image_name| comment_number| comment"]
    for name, texts in truth.items():
        lines += [f"{name}.jpg| {k}| {text}" for k, text in enumerate(texts)]
    plain = next(n for n, line in enumerate(lines) if "plain" in line)
    head, _, text = lines[plain].rpartition("| ")
    lines[plain] = f"{head}   {text}"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_csv(path: Path, header: list[str], rows: list, delimiter: str = ",") -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([header, *rows])


def kaggle(path: Path, truth: Truth) -> None:
    _write_csv(path, ["image", "caption"], [[f"{name}.jpg", text] for name, text in _flat(truth)])


def by_id_csv(path: Path, truth: Truth) -> None:
    _write_csv(path, ["image_id", "caption"], [[name, text] for name, text in _flat(truth)])


def german_csv(path: Path, truth: Truth) -> None:
    _write_csv(path, ["Caption", "Filename"], [[text, f"{name}.PNG"] for name, text in _flat(truth)], ";")


def flickr_of_hugging_face(path: Path, truth: Truth) -> None:
    rows = [[json.dumps(texts), "[0]", "train", f"{name}.jpg", 3] for name, texts in truth.items()]
    _write_csv(path, ["raw", "sentids", "split", "filename", "img_id"], rows)


def open_clip(path: Path, truth: Truth) -> None:
    rows = [[f"/data/images/{name}.jpg", text] for name, text in _flat(truth)]
    _write_csv(path, ["filepath", "title"], rows, "\t")


def pairs(path: Path, truth: Truth) -> None:
    path.write_text("".join(f"{name}.jpg\t{text}\n" for name, text in _flat(truth)))


def albef(path: Path, truth: Truth) -> None:
    tree = [
        {"caption": text, "image": f"val2014/COCO_val2014_{int(name):012d}.jpg", "image_id": n}
        for n, (name, text) in enumerate(_flat(truth))
    ]
    path.write_text(json.dumps(tree))


def albef_test(path: Path, truth: Truth) -> None:
    tree = [{"image": f"flickr30k-images/{name}.jpg", "caption": texts} for name, texts in truth.items()]
    path.write_text(json.dumps(tree))


def llava(path: Path, truth: Truth) -> None:
    """With what it has besides: talk about no image, and talk of several turns."""
    human, gpt = ({"from": who, "value": "<image>\nWhat is it?"} for who in ("human", "gpt"))
    tree = [{"id": "text_1", "conversations": [human, gpt]}]
    for n, (name, text) in enumerate(_flat(truth)):
        turns = [human, {"from": "gpt", "value": text}]
        tree.append(
            {"id": f"{n:09d}", "image": f"coco/train2017/{int(name):012d}.jpg", "conversations": turns}
        )
    first = next(iter(truth))
    turns = [human, gpt, human, gpt]
    tree.append({"id": "9", "image": f"coco/train2017/{int(first):012d}.jpg", "conversations": turns})
    path.write_text(json.dumps(tree))


def lxmert(path: Path, truth: Truth) -> None:
    """Captions beside questions; the questions have labels."""
    tree = [
        {
            "img_id": f"COCO_train2014_{int(name):012d}", "labelf": {"vqa": [{"yes": 1}]},
            "sentf": {"mscoco": texts, "vqa": ["Is it a question?"]},
        }
        for name, texts in truth.items()
    ]  # fmt: skip
    path.write_text(json.dumps(tree, indent=4))


def lxmert_list(path: Path, truth: Truth) -> None:
    path.write_text(json.dumps([{"img_id": name, "sent": text} for name, text in _flat(truth)]))


def metadata(path: Path, truth: Truth) -> None:
    path.write_text("".join(json.dumps({"file_name": f"{n}.png", "text": t}) + "\n" for n, t in _flat(truth)))


def image_caption_lines(path: Path, truth: Truth) -> None:
    """With empty lines, and without an end of the last."""
    lines = [
        json.dumps({"image": {"path": f"{n}.jpg", "bytes": None}, "caption": t}) for n, t in _flat(truth)
    ]
    path.write_text("\n\n".join(lines))


def chinese_clip(path: Path, truth: Truth) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for n, (name, text) in enumerate(_flat(truth)):
            item = {"text_id": n, "text": text, "image_ids": [int(name)]}
            file.write(json.dumps(item, ensure_ascii=False) + "\n")


LAYOUTS: dict[str, Callable[[Path, Truth], None]] = {
    f.__name__: f
    for f in (
        *(
            karpathy,
            coco,
            coco_annotations_first,
            coco_results,
            vilbert,
            volta,
            caption_train,
            token,
            results_csv,
        ),
        *(kaggle, by_id_csv, german_csv, flickr_of_hugging_face, open_clip, pairs, albef, albef_test, llava),
        *(lxmert, lxmert_list, metadata, image_caption_lines, chinese_clip),
    )
}


def url(name: str) -> str:
    return f"https://host.example/pictures/{name}%20x.jpg?size=large"


def conceptual(path: Path, truth: Truth) -> None:
    path.write_text("".join(f"{text}\t{url(name)}\n" for name, text in _flat(truth)))


def url_lines(path: Path, truth: Truth) -> None:
    path.write_text("".join(json.dumps({"url": url(n), "caption": t}) + "\n" for n, t in _flat(truth)))


def sbu(path: Path, truth: Truth) -> None:
    flat = _flat(truth)
    tree = {
        "image_urls": [url(n) for n, _ in flat],
        "user_ids": ["7"] * len(flat),
        "captions": [t for _, t in flat],
    }
    path.write_text(json.dumps(tree))


def sbu_captions_first(path: Path, truth: Truth) -> None:
    flat = _flat(truth)
    path.write_text(json.dumps({"captions": [t for _, t in flat], "image_urls": [url(n) for n, _ in flat]}))


OF_THE_WEB = {f.__name__: f for f in (conceptual, url_lines, sbu, sbu_captions_first)}
NAMED_BY_URL: dict[str, Callable[[str], str]] = {
    "MD5 of the URL": lambda name: hashlib.md5(url(name).encode()).hexdigest(),
    "SHA-256 of the URL": lambda name: hashlib.sha256(url(name).encode()).hexdigest(),
    "file name in the URL": lambda name: f"{name} x",
    "URL": url,
}
