"""Settings that cannot be: search, preflight and train refuse each with code 2 and one sentence, before Ray starts.

Each row has the command, or the file that it reads, and the end of what it says.
"""

import os
import shutil

import pytest

BASE = "data: tiny\nspace: isotropic\n"
SEARCH = ("search", "tiny", "--space", "isotropic")
CONFIG = ("search", "--config", "given.yaml")
ONE_NETWORK = "say what to train: a NAME, --config or --trial, one of the three"
NO_YAML = "given.yaml is not YAML that can be loaded safely: "

FLAGS = [
    (("search",), "flags: a search needs data and space"),
    (("search", "nowhere", "--space", "isotropic"), "nowhere: no such folder; give the folder that holds meta.csv"),
    (("search", "tiny", "--space", "isotropci"), "unknown space 'isotropci'; did you mean 'isotropic'?"),
    (("search", "tiny", "--space", "none.yaml"), "none.yaml cannot be read: No such file or directory"),
    ((*SEARCH, "--epochs", "0"), "flags: epochs must be a whole number of at least 1, got 0"),
    ((*SEARCH, "--epochs", "abc"), "Invalid value for '--epochs': 'abc' is not a valid integer."),
    ((*SEARCH, "--trials", "-1"), "flags: trials must be a whole number of at least 1, got -1"),
    ((*SEARCH, "--validation", "nan"), "flags: validation must be a fraction from 0 to below 1, got nan"),
    ((*SEARCH, "--budget", "macs=0"), "budget 'macs=0': macs must be a positive whole number, got '0'"),
    ((*SEARCH, "--budget", "macs=1M,macs=2M"), "budget 'macs=1M,macs=2M': macs is given twice"),
    ((*SEARCH, "--budget", "macs=1K"), "Relax the budget to macs=652451, or widen the space"),
    ((*SEARCH, "--objectives", "accuracy"), "flags: unknown objective 'accuracy'; did you mean 'macro_accuracy'?"),
    ((*SEARCH, "--split", "30"), "unknown split '30'; choose from fold1, 5, 10, 25, 50, 100"),
    ((*SEARCH, "--set", "width"), "--set takes KEY=VALUE, got 'width'"),
    ((*SEARCH, "--set", "widht=8"), "unknown config key 'widht'; did you mean 'width'?"),
    ((*SEARCH, "--set", "width=eight"), "width must be a whole number, got 'eight'"),
    ((*SEARCH, "--set", "width=[1"), "--set width=[1: '[1' is no value"),
    ((*SEARCH, "--set", "learning_rate=-1e-3"), "learning_rate must be above 0 and finite, got -0.001"),
    ((*SEARCH, "--set", "epochs=5"), "epochs cannot be set here: it is a setting of its own: --epochs"),
    (
        (*SEARCH, "--set", "restart_epochs=8,4"),
        "restart_epochs must be rising epochs such as 4,8,16, or empty, got 8,4",
    ),
    (
        (*SEARCH, "--set", "warmup_steps=5"),
        "warmup_share and warmup_steps are two lengths of one warm-up, got 0.02446 and 5: set one of them to 0",
    ),
    ((*SEARCH, "--range", "width=9"), "--range width=9: a range is LOW:HIGH, got '9'"),
    ((*SEARCH, "--range", "width=32:16"), "ranges: width from 32 to 16 is an empty range"),
    ((*SEARCH, "--range", "width=.nan:32"), "ranges: width must be two finite numbers, got nan and 32"),
    ((*SEARCH, "--recipe", "isotropci"), "unknown recipe 'isotropci'; did you mean 'isotropic'?"),
    (
        (*SEARCH, "--study", "../up"),
        "--study must be a plain name, got '../up'; --results names the folder of all studies",
    ),
    ((*SEARCH, "--study", ""), "--study must be a plain name, got ''; --results names the folder of all studies"),
    ((*SEARCH, "--unseen-devices", "z"), "device z has no training clips to hold out; there are a, b, s1"),
    ((*SEARCH, "--workers", "0"), "flags: workers must be a whole number of at least 1, got 0"),
    ((*SEARCH, "--address", "nowhere"), "address must be auto or HOST:PORT of a running Ray, got 'nowhere'"),
    ((*SEARCH, "--impulse-responses", "nowhere"), "nowhere: no such folder of impulse responses"),
    (
        (*SEARCH, "--seed", "99999999999999"),
        "flags: seed must be a whole number from 0 to 2147483647, got 99999999999999",
    ),
    ((*SEARCH, "--set", "distill_weight=1"), "name a trained export with --teacher, or set distill_weight to 0"),
    (("preflight", "--space", "isotropic", "--set", "mel_bins=3"), "it comes from the front end"),
    (
        ("preflight", "--space", "isotropic", "--range", "width=16:32:64"),
        "ranges: width must be two numbers, low and high, got [16, '32:64']",
    ),
    (("train", "tiny"), ONE_NETWORK),
    (("train", "tiny", "isotropic", "--config", "x"), ONE_NETWORK),
    (("train", "tiny", "isotropci"), "did you mean 'isotropic'?"),
    (("train", "tiny", "isotropic", "--scale", "nan"), "scale must be above 0 and finite, got nan"),
    (("train", "tiny", "isotropic", "--epochs", "2", "--scale", "2"), "scale and epochs exclude each other"),
    (("train", "tiny", "--trial", "x"), "a trial is STUDY:NUMBER or STUDY:best, got 'x'"),
    (("train", "tiny", "--trial", "x:1"), "unknown study 'x'; there are none (in results)"),
    (
        ("train", "tiny", "isotropic", "--set", "batch_size=1"),
        "batch_size must be at least 2 (batch norm needs two clips), got 1",
    ),
]
FILES = [
    (BASE + "epochs: 5\nepochs: 6\n", f"{NO_YAML}line 4: the key epochs is given a second time, after line 3"),
    (BASE + "set: {width: 8, width: 9}\n", f"{NO_YAML}line 3: the key width is given a second time, after line 3"),
    ("- 1\n", "given.yaml must be a mapping of search settings, got list"),
    ("", "given.yaml must be a mapping of search settings, got NoneType"),
    (BASE + "epoch: 5\n", "given.yaml: unknown search setting 'epoch'; did you mean 'epochs'?"),
    (BASE + "epochs: many\n", "given.yaml: epochs must be a whole number of at least 1, got 'many'"),
    (BASE + "epochs: null\n", "given.yaml: epochs must be a whole number of at least 1, got None"),
    (BASE + "trials: yes\n", "given.yaml: trials must be a whole number of at least 1, got True"),
    ("data: [\n", f"{NO_YAML}line 2: expected the node content, but found '<stream end>'"),
    ("a: !!python/object/apply:os.system [ls]\n", "'tag:yaml.org,2002:python/object/apply:os.system'"),
    ("data: " + "[" * 3000, f"{NO_YAML}it is nested too deeply"),
    (BASE + "seed: 2024-13-01\n", f"{NO_YAML}month must be in 1..12"),
    (b"data: caf\xe9\n", "given.yaml cannot be read: it is not UTF-8 (invalid continuation byte at byte 9)"),
    (BASE + "job: serch\n", "given.yaml: unknown job 'serch'; did you mean 'search'?"),
    (BASE + "job: search\nformat: 99\n", "given.yaml has format 99, of a newer scenefront: this one knows 1 to 2"),
    (
        "job: train\ndata: tiny\narchitecture: isotropic\n",
        "given.yaml holds the settings of `scenefront train`, not of a search",
    ),
    (BASE + "set: [1]\n", "given.yaml: set must be a mapping of config keys to values, got [1]"),
    (BASE + "ranges: {width: 16:32}\n", "ranges: width must be two numbers, low and high, got '16:32'"),
    (BASE + "ranges: {width: [16]}\n", "ranges: width must be two numbers, low and high, got [16]"),
]


@pytest.fixture
def refused(run, tiny, tmp_path):
    """Run a command beside the tiny data set; return the last line that it said, and hold that it left nothing."""

    def go(arguments):
        shutil.copytree(tiny, tmp_path / "tiny", symlinks=True)
        before = {path for path in tmp_path.rglob("*") if "tiny" not in path.parts}
        result = run(*arguments)
        assert result.code == 2, result.out
        assert "Traceback" not in result.err
        assert {path for path in tmp_path.rglob("*") if "tiny" not in path.parts} == before
        return result.err.splitlines()[-1]

    return go


@pytest.mark.parametrize(("arguments", "sentence"), FLAGS, ids=[" ".join(each[0]) for each in FLAGS])
def test_a_flag_that_cannot_be_is_refused_in_one_sentence(refused, arguments, sentence):
    assert refused(arguments).endswith(sentence)


@pytest.mark.parametrize(("text", "sentence"), FILES, ids=[each[1][-40:] for each in FILES])
def test_a_file_that_cannot_be_is_refused_in_one_sentence(refused, tmp_path, text, sentence):
    (tmp_path / "given.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refused(CONFIG).endswith(sentence)


@pytest.mark.parametrize(
    "arguments",
    [
        (*SEARCH, "--config", "PIPE"), ("search", "tiny", "--space", "PIPE"), (*SEARCH, "--start", "PIPE"),
        (*SEARCH, "--architecture-file", "PIPE"), ("train", "tiny", "--config", "PIPE"),
        ("submit", "PIPE", "tiny/audio"),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_file_that_never_ends_is_not_read(refused, tmp_path, arguments, kind):
    file = tmp_path / ("given.py" if "--architecture-file" in arguments else "given.yaml")
    os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    given = [file.name if each == "PIPE" else each for each in arguments]
    assert f"it is a {kind}, not a regular file; write its content to a file first" in refused(given)
