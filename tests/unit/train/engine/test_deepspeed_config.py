import json
from pathlib import Path

import pytest
import torch

from interbert.config import SettingsError
from interbert.recipe import load_recipe
from interbert.train.engine.deepspeed_config import (
    check_device,
    config_file,
    device_meant,
    load_engine_config,
    read_engine_config,
)
from interbert.train.engine.deepspeed_keys import KEYS

CONFIGS = sorted((Path(__file__).parents[4] / "ds_configs").glob("*.json"))


def config(folder, **tree):
    path = folder / "config.json"
    path.write_text(json.dumps({"train_micro_batch_size_per_gpu": 1, **tree}))
    return str(path)


def test_exactly_one_config_is_for_cpus():
    assert [path.name for path in CONFIGS if "cpu" in path.name] == ["cpu.json"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_are_what_their_name_says_and_deepspeed_takes_them(path, monkeypatch):
    from deepspeed.runtime.config import DeepSpeedConfig

    monkeypatch.setenv("WORLD_SIZE", "1")
    settings = load_recipe("scenes", ["train.micro_batches=4"])
    ours = load_engine_config(str(path), settings, world_size=1)
    tree = dict(ours.tree, train_batch_size=4)
    theirs = DeepSpeedConfig(tree)
    assert theirs.zero_optimization_stage == ours.stage
    enabled = {"bf16": theirs.bfloat16_config.enabled, "fp16": theirs.float16_config.enabled}
    assert [name for name, on in enabled.items() if on] == (
        [] if ours.precision == "fp32" else [ours.precision]
    )
    assert theirs.gradient_accumulation_steps == 4
    if path.stem != "cpu":
        assert path.stem == f"zero{ours.stage}_{'offload_' if ours.offload else ''}{ours.precision}"
    if ours.precision == "fp16":
        assert theirs.float16_config.loss_scale == 0, "dynamic scaling"


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"optimizer": {"type": "Adam"}}, "remove 'optimizer'"),
        ({"scheduler": {}}, "remove 'scheduler'"),
        ({"gradient_clipping": 3.0}, "gradient_clipping is 3.0 but must be 1.0"),
        ({"gradient_accumulation_steps": 7}, r"is 7 but must be 2 \(a step of 4 micro-batches / 2 ranks\)"),
        ({"train_batch_size": 64}, "train_batch_size is 64 but must be 4"),
        ({"train_micro_batch_size_per_gpu": 64}, "must be 1"),
        ({"bf16": {"enabled": True}, "fp16": {"enabled": True}}, "both enabled"),
    ],
)
def test_contradictions_are_refused(tmp_path, tree, words):
    settings = load_recipe("scenes", ["train.micro_batches=4"])
    with pytest.raises(SettingsError, match=words):
        load_engine_config(config(tmp_path, **tree), settings, world_size=2)


def test_agreement_is_no_contradiction(tmp_path):
    settings = load_recipe("scenes", ["train.micro_batches=4"])
    path = config(tmp_path, gradient_clipping=1.0, train_batch_size=4, gradient_accumulation_steps=2)
    assert load_engine_config(path, settings, world_size=2).accumulation == 2


def test_lamb_under_zero_is_refused(tmp_path):
    settings = load_recipe("scenes", ["train.optimizer=lamb"])
    with pytest.raises(SettingsError, match="flat shards"):
        load_engine_config(config(tmp_path, zero_optimization={"stage": 1}), settings, world_size=1)
    assert load_engine_config(config(tmp_path), settings, world_size=1).stage == 0


@pytest.mark.parametrize("given", ["zero1_bf16", "zero1_bf16.json", "ds_configs/zero1_bf16.json"])
def test_ours_are_found_from_any_folder(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_file(given) == CONFIGS[0].parent / "zero1_bf16.json"
    (tmp_path / given).parent.mkdir(exist_ok=True)
    (tmp_path / given).write_text("{}")
    assert config_file(given) == Path(given), "a file that is there comes first"


@pytest.mark.parametrize("given", ["zero9", "mine/zero1_bf16.json", "zero1_bf16.yaml"])
def test_a_config_that_is_nowhere_is_answered_with_those_there_are(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=f"no DeepSpeed config {given}.* cpu, .*zero3_offload_bf16"):
        config_file(given)


def test_unreadable_files(tmp_path):
    settings = load_recipe("scenes")
    with pytest.raises(SettingsError, match="no DeepSpeed config"):
        load_engine_config(str(tmp_path / "none.json"), settings, 1)
    (tmp_path / "bad.json").write_text('{"a": 1,\n oops}')
    with pytest.raises(SettingsError, match="line 2"):
        load_engine_config(str(tmp_path / "bad.json"), settings, 1)


def test_fp16_needs_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = load_recipe("scenes")
    engine = load_engine_config(config(tmp_path, fp16={"enabled": True}), settings, 1)
    with pytest.raises(SettingsError, match="fp16 needs a GPU"):
        check_device(engine)


def bf16_config(tmp_path):
    return load_engine_config(
        config(tmp_path, bf16={"enabled": True}), load_recipe("scenes", ["train.micro_batches=1"]), 1
    )


def test_a_gpu_that_only_emulates_bf16_is_refused(tmp_path, monkeypatch):
    """torch's own question says yes to emulation, unless it is told otherwise."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    with pytest.raises(SettingsError, match="Tesla V100 has no bf16; take the fp16 config"):
        check_device(bf16_config(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    check_device(bf16_config(tmp_path))


@pytest.mark.parametrize(
    ("flags", "rank", "warned"),
    [
        ("fpu avx2 avx512f", "0", True),
        ("fpu avx2 avx512f", "1", False),  # one rank of each host says it
        ("fpu avx512_bf16", "0", False),
        ("fpu amx_bf16 amx_tile", "0", False),
    ],
)
def test_a_cpu_that_only_emulates_bf16_is_warned_of(tmp_path, monkeypatch, caplog, flags, rank, warned):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("interbert.kernels.cpu.bf16.processor_flags", lambda: set(flags.split()))
    monkeypatch.setenv("LOCAL_RANK", rank)
    check_device(bf16_config(tmp_path))
    assert ("take ds_configs/cpu.json" in caplog.text) == warned


@pytest.mark.parametrize(
    ("offload", "message"),
    [
        ({"offload_optimizer": {"device": "nvme"}}, "offload_optimizer.device is 'nvme'.*set it to 'cpu'"),
        ({"offload_param": {"device": "nvme"}}, "offload_param.device is 'nvme'"),
        ({"offload_optimizer": {"device": "cpu", "ratio": 0.3}}, "ratio is 0.3.*remove it"),
    ],
)
def test_offload_to_where_no_checkpoint_reaches_is_refused(tmp_path, offload, message):
    path = config(tmp_path, zero_optimization={"stage": 3, **offload})
    with pytest.raises(SettingsError, match=message):
        load_engine_config(path, load_recipe("scenes", ["train.micro_batches=1"]), 1)


@pytest.mark.parametrize(
    ("stage", "name", "remedy"),
    [(0, "offload_optimizer", "zero2_offload_bf16.json"), (2, "offload_param", "zero3_offload_bf16.json")],
)
def test_offload_of_what_a_stage_does_not_share_out_is_refused(tmp_path, stage, name, remedy):
    path = config(tmp_path, zero_optimization={"stage": stage, name: {"device": "cpu"}})
    with pytest.raises(SettingsError, match=f"stage is {stage}, and {name} is for stage .*{remedy}"):
        load_engine_config(path, load_recipe("scenes", ["train.micro_batches=1"]), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"zero_optimization": null}', "zero_optimization is None"),
        ('{"bf16": true}', "bf16 is True"),
        ('{"zero_optimization": {"stage": "auto"}}', "stage is 'auto'"),
        ('{"zero_optimization": {"offload_optimizer": null}}', "offload_optimizer is None"),
        ('{"zero_optimisation": {"stage": 2}}', "write 'zero_optimization'"),
        ('{"bf_16": {"enabled": true}}', "write 'bf16'"),
        ('{"bfloat16": {"enabled": true}}', "write 'bf16'"),
        ('{"bf16": {"enabld": true}}', "bf16 has no setting 'enabld'; write 'enabled'"),
        ('{"fp16": {"loss_scal": 0}}', "fp16 has no setting 'loss_scal'; write 'loss_scale'"),
        ('{"zero_optimization": {"stge": 3}}', "zero_optimization has no setting 'stge'; write 'stage'"),
        ('{"zero_optimization": {"xyz": 3}}', "no setting 'xyz'; remove it, or write one of stage, "),
        ('{"zero_optimization": {"cpu_offload": true}}', "has no setting 'cpu_offload'"),
        ('{"zero_optimization": {"offload_optimizer": {"devce": "cpu"}}}', "'devce'; write 'device'"),
        ('{"amp": {"enabled": true}}', 'remove .amp.: .*"bf16": ..enabled": true'),
        ('{"torch_autocast": {"enabled": true}}', "remove 'torch_autocast'"),
        ('{"bf16": {"enabled": "no"}}', "bf16.enabled is 'no'; it must be true or false"),
        ('{"fp16": {"enabled": "auto"}}', "fp16.enabled is 'auto'"),
    ],
)
def test_what_deepspeed_would_pass_over_or_stumble_on(tmp_path, text, message):
    (tmp_path / "ds.json").write_text(text)
    with pytest.raises(SettingsError, match=rf"ds\.json: .*{message}"):
        load_engine_config(str(tmp_path / "ds.json"), load_recipe("scenes"), 1)


def test_a_config_tells_the_device_that_it_is_for(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = load_recipe("scenes")
    devices = {path.stem: device_meant(read_engine_config(str(path), settings)) for path in CONFIGS}
    assert devices["cpu"] == "cpu" and devices["zero1_bf16"] == devices["zero3_fp16"] == "cuda"
    assert devices["zero0_fp32"] == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_meant(read_engine_config(config(tmp_path), settings)) == "cuda"
    assert device_meant(read_engine_config(str(CONFIGS[0]), settings)) == "cpu" and CONFIGS[0].stem == "cpu"


def test_the_settings_of_a_section_are_those_of_deepspeed():
    from deepspeed.runtime import precision_config
    from deepspeed.runtime.zero import config as zero
    from deepspeed.runtime.zero import offload_config

    models = {
        "bf16": precision_config.DeepSpeedBF16Config,
        "fp16": precision_config.DeepSpeedFP16Config,
        "zero_optimization": zero.DeepSpeedZeroConfig,
        "zero_optimization.offload_optimizer": offload_config.DeepSpeedZeroOffloadOptimizerConfig,
        "zero_optimization.offload_param": offload_config.DeepSpeedZeroOffloadParamConfig,
    }
    assert KEYS.keys() == models.keys()
    for section, model in models.items():
        named = {
            name
            for field, about in model.model_fields.items()
            for name in (field, about.alias)
            if name and not (about.json_schema_extra or {}).get("deprecated")
        }
        assert set(KEYS[section]) == named, section


def test_a_config_that_is_no_text_is_named(tmp_path):
    (tmp_path / "ds.json").write_bytes(b'{"\xff": 1}')
    with pytest.raises(SettingsError, match=r"ds\.json: not text"):
        read_engine_config(str(tmp_path / "ds.json"), load_recipe("scenes"))
