"""What `--help` of each verb ends with: two lines to type."""

EXAMPLES = {
    "scenes": (
        "interbert scenes --output scenes.h5 --images 1000 --seed 7",
        "interbert scenes --picture scene.png --image-id train-s1-0000012",
    ),
    "import": (
        "interbert import auto --input trainval_36.tsv --captions dataset.json --split train --output features.h5",
        "interbert import --explain trainval_36.tsv",
    ),
    "extract": (
        "interbert extract --images photos/ --model facebook/detr-resnet-50 --output photos.h5",
        "interbert extract --images shards/*.tar --model openai/clip-vit-base-patch32 --output shards.h5",
    ),
    "join": (
        "interbert join --given vcr_given.h5 --detected vcr_detected.h5 --output vcr.h5",
        "interbert join --given vcr_given.h5 --detected vcr_detected.h5 --texts vcr_told.jsonl --output vcr_told.h5",
    ),
    "tokenizer": (
        "interbert tokenizer --data features.h5 --size 8000 --output tokenizer",
        "interbert tokenizer --data shards/ --output tokenizer --overwrite",
    ),
    "verify": ("interbert verify features.h5", "interbert verify shards/"),
    "inspect": (
        "interbert inspect features.h5 --output features.html",
        "interbert inspect features.h5 --image-id 42 --output one.png",
    ),
    "mine": (
        "interbert mine --data features.h5 --output candidates.h5",
        "interbert mine --of images --data features.h5 --output near_images.h5",
    ),
    "convert": (
        "interbert convert released --weights pytorch_model.bin --config config.json --tokenizer bert-base-uncased "
        "--output interbert",
        "interbert convert bert --weights bert-base-uncased --output interbert_from_bert",
    ),
    "export": (
        "interbert export --model runs/mine/export --format onnx --quantise int8 --output program",
        "interbert export --model runs/mine/export --format torch-export --data features.h5 --output program",
    ),
    "score": (
        'interbert score --model runs/mine/export --data features.h5 --image-id 42 --text "a cat" --text "a dog"',
        'interbert score --model runs/mine/export --image cat.jpg --detector facebook/detr-resnet-50 --text "a cat"',
    ),
    "build-kernels": ("interbert build-kernels", "interbert build-kernels --arch 80 90 --width 64"),
    "launch": (
        "interbert launch pretrain --recipe scenes --deepspeed_config cpu",
        "interbert launch finetune --hostfile hosts --recipe vqa2 --deepspeed_config zero1_bf16",
    ),
    "doctor": ("interbert doctor", "interbert doctor --hostfile hosts"),
    "settings": ("interbert settings --recipe interbert_base", "interbert settings train.batch"),
    "summary": ("interbert summary runs/scenes", "interbert summary runs/scenes_retrieval"),
    "runs": ("interbert runs list", "interbert runs compare runs/a runs/b --picture curves.png"),
}
