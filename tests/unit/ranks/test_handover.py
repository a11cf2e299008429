import pytest

from interbert.ranks.handover import HandoverError, hand_over, split_arguments
from interbert.ranks.hostfile import HostfileError


def test_launcher_flags_are_told_from_the_scripts_own():
    typed = [
        "--local_rank=0",
        "--recipe",
        "scenes",
        "--hostfile",
        "hosts",
        "--set",
        "a.b=c",
        "--include=w1:0",
        "--force_multi",
    ]
    launcher, own = split_arguments(typed)
    assert launcher == ["--hostfile", "hosts", "--include", "w1:0", "--force_multi"]
    assert own == ["--local_rank=0", "--recipe", "scenes", "--set", "a.b=c"]


def test_nothing_to_hand_over():
    assert hand_over("launch/pretrain.py", ["--recipe", "scenes"]) is None


def test_missing_hostfile_is_an_error_not_a_warning(tmp_path, clean_environment):
    with pytest.raises(HostfileError, match="no hostfile"):
        hand_over("launch/pretrain.py", ["--hostfile", str(tmp_path / "hosts")])


def test_flag_without_value(clean_environment):
    with pytest.raises(HandoverError, match="--hostfile needs a value"):
        hand_over("launch/pretrain.py", ["--hostfile"])


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2"}, "torchrun"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "mpirun"),
        ({"SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}, "srun"),
    ],
)
def test_other_launchers_choose_hosts_themselves(tmp_path, clean_environment, variables, name):
    for key, value in variables.items():
        clean_environment.setenv(key, value)
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=2\n")
    with pytest.raises(
        HandoverError, match=f"{name} started this.*deepspeed --hostfile {hosts} launch/pretrain.py"
    ):
        hand_over("launch/pretrain.py", ["--hostfile", str(hosts)])


@pytest.fixture
def clean_environment(monkeypatch):
    for name in (
        "TORCHELASTIC_RUN_ID",
        "OMPI_COMM_WORLD_SIZE",
        "PMI_SIZE",
        "SLURM_STEP_ID",
        "SLURM_PROCID",
        "WORLD_SIZE",
        "RANK",
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w1 slots=two\n", "line 1: 'w1 slots=two'"),
        ("# all of them\n\nw1 slots=8\nw2\n", "line 4: 'w2'"),
        ("w1 slots=0\n", "line 1"),
        ("w1 slots=8\nw1 slots=8\n", "line 2: host w1 stands there twice"),
        ("# none\n", "no hosts in it"),
    ],
)
def test_a_bad_line_of_the_hostfile_is_named(text, message, tmp_path, clean_environment):
    hosts = tmp_path / "hosts"
    hosts.write_text(text)
    with pytest.raises(HostfileError, match=f"{hosts}.*{message}"):
        hand_over("launch/pretrain.py", ["--hostfile", str(hosts)])
