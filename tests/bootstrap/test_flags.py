"""The command line as a table: what is written, what it means, and what is refused with which words."""

import pytest

from modules.bootstrap import flags
from modules.bootstrap.options import ROOT, DeviceOptions, NetworkOptions, Options, RunOptions
from modules.cli import dispatch


@pytest.mark.parametrize(
    ("line", "network"),
    [
        ("", NetworkOptions()),
        ("serve --port 80", NetworkOptions(port=80)),
        ("--nowebui", NetworkOptions(port=7861, webui=False)),
        ("--nowebui --port 7860", NetworkOptions(port=7860, webui=False)),
        ("--api", NetworkOptions(api=True)),
        ("--no-api", NetworkOptions(api=False)),
        ("--listen --api-auth a:b", NetworkOptions(host="0.0.0.0", api_auth=(("a", "b"),))),
        ("--host 10.0.0.5 --api-auth a:b:c,d:e", NetworkOptions("10.0.0.5", api_auth=(("a", "b:c"), ("d", "e")))),
        ("--host ::1", NetworkOptions(host="::1")),
        ("--host localhost --subpath studio/", NetworkOptions(host="localhost", subpath="/studio")),
        ("--api-server-stop", NetworkOptions(api_server_stop=True)),
        ("--cors-allow-origins http://a,http://b:8", NetworkOptions(cors_allow_origins=("http://a", "http://b:8"))),
    ],
)
def test_network_flags(line, network):
    command = flags.parse(line.split())
    assert command.name == "serve"
    assert command.options == Options(network=network)


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("--use-cpu all", Options(device=DeviceOptions(use_cpu=frozenset({"all"})))),
        ("--use-cpu SD --use-cpu VAE", Options(device=DeviceOptions(use_cpu=frozenset({"sd", "vae"})))),
        ("--use-cpu te,esrgan", Options(device=DeviceOptions(use_cpu=frozenset({"text", "upscale"})))),
        ("--device-id 1 --no-half", Options(device=DeviceOptions(device_id="1", no_half=True))),
        ("--medvram", Options(device=DeviceOptions(vram="medvram"))),
        ("--lowvram", Options(device=DeviceOptions(vram="lowvram"))),
        ("--xformers", Options(device=DeviceOptions(attention="xformers"))),
        ("--opt-sdp-attention", Options(device=DeviceOptions(attention="sdp"))),
        ("--opt-split-attention", Options(device=DeviceOptions(attention="sliced"))),
        ("--attention SDP-Math", Options(device=DeviceOptions(attention="sdp-math"))),
        ("--attention automatic", Options()),
        ("--offline --lanes 3 --log-json", Options(run=RunOptions(lanes=3, offline=True, log_json=True))),
    ],
)
def test_studio_flags_mean_the_same_in_every_command_that_has_them(line, options):
    assert flags.parse(line.split()).options == options
    assert flags.parse(["doctor", *line.split()]).options == options
    assert flags.parse(["generate", "x", "-o", "x.png", *line.split()]).options == options


def test_parts_may_stand_apart_as_in_a1111_where_no_other_words_are():
    for line in ("--use-cpu all sd --medvram", "doctor --use-cpu all sd --medvram"):
        device = flags.parse(line.split()).options.device
        assert (device.use_cpu, device.vram) == (frozenset({"all", "sd"}), "medvram")
    command = flags.parse(["generate", "--use-cpu", "all", "a fox", "-o", "x.png"])
    assert command.arguments.prompt == "a fox"
    assert command.options.device.use_cpu == frozenset({"all"})
    assert flags.parse(["models", "--use-cpu", "all", "list"]).rest == ("list",)


def test_folders_are_absolute_and_default_to_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = flags.parse(["--data-dir", "here", "--ckpt", "a.safetensors", "--vae", "b"]).options.paths
    assert (given.data_dir, given.models_dir) == (tmp_path / "here", ROOT / "models")
    assert (given.checkpoint, given.vae) == ("a.safetensors", "b")
    assert flags.parse([]).options.paths.data_dir == ROOT / "data"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dance", "'dance' is not a command; there are serve, generate"),
        ("--listen --host 127.0.0.1", "--listen means --host 0.0.0.0"),
        ("--listen --offline --api-auth a:b", "--offline opens loopback sockets only"),
        ("--api-auth secret", "entry 1 is not user:password"),
        ("--api-auth a:b,c", "entry 2 is not user:password"),
        ("--use-cpu tail", "tail is not known; allowed are all, sd"),
        ("--use-cpu all tail", "tail is not known; allowed are all, sd"),
        ("--use-cpu", "argument --use-cpu: expected one argument"),
        ("--port 70000", "70000 is out of range; allowed are 0 to 65535"),
        ("--port many", "invalid int value: 'many'"),
        ("--counters-url memcached://u:secret@host", "does not begin with one of redis://, rediss://"),
        ("--lanes 0", "0 is too few; allowed is 1 or more"),
        ("--medvram --lowvram", "not allowed with argument --medvram"),
        ("--xformers --opt-sdp-attention", "not allowed with argument --xformers"),
        ("--attention fast", "'fast' is not known; allowed are Automatic, sdp, sdp-flash"),
        ("--no-api --nowebui", "leave nothing to serve"),
        ("--subpath a?b", "is not a path prefix"),
        ("--por 80", "unrecognized arguments: --por 80"),
        ("generate", "arguments are required: PROMPT, -o/--output"),
    ],
)
def test_what_is_refused_and_why(line, words, capsys):
    with pytest.raises(SystemExit) as end:
        flags.parse(line.split())
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert words in said
    assert len(said.splitlines()) <= 2
    assert "Traceback" not in said


def test_passwords_stay_out_of_words(capsys):
    counters = ["--counters-url", "rediss://:hunter2@host/1"]
    options = flags.parse(["--api-auth", "ann:hunter2", *counters]).options
    assert options.paths.counters_url == counters[1]
    assert "hunter2" not in repr(options)
    for wrong in (["--api-auth", "ann:b,hunter2"], ["--counters-url", "http://:hunter2@host"]):
        with pytest.raises(SystemExit):
            flags.parse(wrong)
        assert "hunter2" not in capsys.readouterr().err


def test_commands_that_hand_on_their_arguments():
    assert flags.parse(["test", "-k", "flags", "-h"]).rest == ("-k", "flags", "-h")
    assert flags.parse(["pocket", "train", "--steps", "3"]).rest == ("train", "--steps", "3")
    models = flags.parse(["models", "pull", "some/id", "--offline", "--revision", "main"])
    assert models.rest == ("pull", "some/id", "--revision", "main")
    assert models.options.run.offline


def test_recipe_flags_come_from_the_declared_parameters(capsys):
    command = flags.parse(["generate", "a fox", "-o", "f.png", "--seed", "7", "--cfg", "4.5", "--model", "m"])
    found = vars(command.arguments)
    assert (found["seeds.seed"], found["sampling.cfg_scale"], found["model.checkpoint"]) == (7, 4.5, "m")
    assert found["sampling.steps"] is None
    with pytest.raises(SystemExit):
        flags.parse(["generate", "--help"])
    assert "Steps, 1 to 1000 (20)" in capsys.readouterr().out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        flags.parse(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert all(f"\n  {name}" in said for name in flags.COMMANDS)


def test_every_declared_command_is_carried_out_by_the_terminal():
    assert set(flags.COMMANDS) == set(dispatch.COMMANDS)
