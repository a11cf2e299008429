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
    "curate": (
        "interbert curate --input crawl/*.warc.gz --output pairs",
        "interbert curate --output pairs --explain http://example.org/photos/cat.jpg",
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
    "convert released": (
        "interbert convert released --weights pytorch_model.bin --config config.json --tokenizer bert-base-uncased "
        "--output interbert",
        "interbert convert released --weights vcr.bin --config config.json --tokenizer bert-base-uncased "
        "--task choose --output interbert_vcr",
    ),
    "convert to-released": (
        "interbert convert to-released --model runs/mine/export --output pytorch_model.safetensors",
        "interbert convert to-released --model interbert --output pytorch_model.safetensors --overwrite",
    ),
    "convert bert": (
        "interbert convert bert --weights bert-base-uncased --output interbert_from_bert",
        "interbert convert bert --weights bert-base-chinese --recipe interbert_zh_base --output interbert_zh",
    ),
    "convert visualbert": (
        "interbert convert visualbert --weights visualbert-nlvr2-coco-pre --output visualbert",
        "interbert convert visualbert --weights visualbert-vqa-coco-pre --tokenizer bert-base-uncased "
        "--output visualbert",
    ),
    "convert to-visualbert": (
        "interbert convert to-visualbert --model runs/visualbert_base/export --output for_transformers",
        "interbert convert to-visualbert --model runs/mine/export --inexact --output for_transformers",
    ),
    "convert uniter": (
        "interbert convert uniter --weights uniter-base.pt --config uniter-base.json --tokenizer bert-base-cased "
        "--output uniter",
        "interbert convert uniter --weights uniter-large.pt --config uniter-large.json --tokenizer bert-large-cased "
        "--output uniter_large",
    ),
    "convert volta": (
        "interbert convert volta --weights pytorch_model_9.bin --config ctrl_uniter_base.json "
        "--tokenizer bert-base-uncased --output volta",
        "interbert convert volta --weights pytorch_model_9.bin --config ctrl_vilbert_base.json "
        "--tokenizer bert-base-uncased --output volta --overwrite",
    ),
    "export": (
        "interbert export --model runs/mine/export --format onnx --quantise int8 --output program",
        "interbert export --model runs/mine/export --format torch-export --data features.h5 --output program",
    ),
    "score": (
        'interbert score --model runs/mine/export --data features.h5 --image-id 42 --text "a cat" --text "a dog"',
        'interbert score --model runs/mine/export --image cat.jpg --detector facebook/detr-resnet-50 --text "a cat"',
    ),
    "distill": (
        "interbert distill --recipe scenes_distill --deepspeed_config cpu",
        "interbert distill --model runs/mine/export --data features.h5 --deepspeed_config cpu",
    ),
    "index": (
        "interbert index build --model runs/distill/export --data features.h5 --output index",
        "interbert index verify index",
    ),
    "serve": (
        "interbert serve --index index --model runs/distill/export",
        "interbert serve --index index --model runs/distill/export --port 8080 --key keys.txt",
    ),
    "ab": ("interbert ab report events", "interbert ab report trials/spring"),
    "ab report": ("interbert ab report events", "interbert ab report trials/spring"),
    "build-kernels": ("interbert build-kernels", "interbert build-kernels --arch 80 90 --width 64"),
    "launch": (
        "interbert launch pretrain --recipe scenes --deepspeed_config cpu",
        "interbert launch finetune --hostfile hosts --recipe vqa2 --deepspeed_config zero1_bf16",
    ),
    "launch pretrain": (
        "interbert launch pretrain --recipe scenes --deepspeed_config cpu --num_gpus 2",
        "interbert launch pretrain --recipe interbert_base --deepspeed_config zero1_bf16 --data shards/ --dry-run",
    ),
    "launch finetune": (
        "interbert launch finetune --task classify --model runs/scenes/export --data features.h5 "
        "--examples train.jsonl --validation val.jsonl --deepspeed_config cpu --output-dir runs/classes",
        "interbert launch finetune --recipe vqa2 --deepspeed_config zero1_bf16 --data coco.h5 --seeds 1 2 3",
    ),
    "launch evaluate": (
        "interbert launch evaluate --task retrieval --model runs/mine/export --data heldout.h5 "
        "--output retrieval.json",
        "interbert launch evaluate --task retrieval --run runs/scenes",
    ),
    "launch distill": (
        "interbert launch distill --recipe scenes_distill --deepspeed_config cpu",
        "interbert launch distill --model runs/mine/export --data features.h5 --deepspeed_config zero1_bf16 "
        "--output-dir runs/mine_search",
    ),
    "index build": (
        "interbert index build --model runs/distill/export --data features.h5 --output index",
        "interbert index build --model runs/distill/export --data shards/ --output index --precision fp32",
    ),
    "index add": (
        "interbert index add index --data new.h5",
        "interbert index add index --model runs/distill/export --data shards/ --titles none",
    ),
    "index remove": (
        "interbert index remove index sofa-17 lamp-3",
        "interbert index remove index --file sold.txt",
    ),
    "index split": (
        "interbert index split index --shards 4 --output parts",
        "interbert index split indices/shop --shards 2 --output two_parts",
    ),
    "index verify": ("interbert index verify index", "interbert index verify indices/shop"),
    "doctor": ("interbert doctor", "interbert doctor --hostfile hosts"),
    "settings": ("interbert settings --recipe interbert_base", "interbert settings train.batch"),
    "summary": ("interbert summary runs/scenes", "interbert summary runs/scenes_retrieval"),
    "runs": ("interbert runs list", "interbert runs compare runs/a runs/b --picture curves.png"),
    "runs list": ("interbert runs list", "interbert runs list /scratch/runs"),
    "runs show": ("interbert runs show scenes", "interbert runs show runs/scenes --command"),
    "runs compare": (
        "interbert runs compare scenes runs/second",
        "interbert runs compare runs/a runs/b --picture curves.png --overwrite",
    ),
    "import vqa2": (
        "interbert import vqa2 --questions v2_val2014_questions.json --answers vqa_train.answers.json "
        "--annotations v2_val2014_annotations.json --data coco.h5 --output vqa_val.jsonl",
        "interbert import vqa2 --questions v2_test2015_questions.json --data coco.h5 --output vqa_test.jsonl",
    ),
    "import nlvr2": (
        "interbert import nlvr2 --input nlvr2/train.json --data nlvr2.h5 --output nlvr2_train.jsonl",
        "interbert import nlvr2 --input nlvr2/dev.json --subsets nlvr2/balanced_dev.json --data nlvr2.h5 "
        "--output nlvr2_dev.jsonl",
    ),
    "import snli-ve": (
        "interbert import snli-ve --input snli_ve_train.jsonl --data flickr30k.h5 --output ve_train.jsonl",
        "interbert import snli-ve --input snli_ve_dev.jsonl --data flickr30k.h5 --output ve_dev.jsonl",
    ),
    "import vcr": (
        "interbert import vcr --input vcr/val.jsonl --metadata vcr/vcr1images --data vcr.h5 --output vcr_val.jsonl",
        "interbert import vcr --input vcr/train.jsonl --part rationale --data vcr_given.h5 --output vcr_told.jsonl",
    ),
    "import refcoco": (
        "interbert import refcoco --input refcoco+ --split train --data coco.h5 --output ref_train.jsonl",
        "interbert import refcoco --input refcoco+ --split val --data coco.h5 --output ref_val.jsonl",
    ),
    "import glue": (
        "interbert import glue --input glue_data/RTE --task rte --output glue/rte",
        "interbert import glue --input glue_data/SST-2 --task SST-2 --output glue/sst2 --overwrite",
    ),
    "import muge": (
        "interbert import muge --queries valid_queries.jsonl --candidates first_stage.jsonl --data muge_valid.h5 "
        "--output muge_valid.jsonl",
        "interbert import muge --queries test_queries.jsonl --candidates first_stage.jsonl --data muge_test.h5 "
        "--output muge_test.jsonl",
    ),
    "import kdd2020": (
        "interbert import kdd2020 --input kdd_train.tsv --negatives 3 --data kdd_train.h5 --output kdd_train.jsonl",
        "interbert import kdd2020 --input kdd_valid.tsv --answers valid_answer.json --data kdd_valid.h5 "
        "--output kdd_valid.jsonl",
    ),
}
