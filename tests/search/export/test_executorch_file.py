"""An export as an ExecuTorch program, where the extra is installed."""

import pytest
import torch
from made_exports import CLASSES, clips_of, make_export

from search.artifact import executorch_runtime
from search.artifact.executorch_runtime import is_available, load_program
from search.export.executorch_file import write_program
from training.checkpoint import CheckpointError

needs_extra = pytest.mark.skipif(not is_available(), reason="needs scenefront[executorch]")


@pytest.fixture(scope="module")
def export():
    return make_export("cp_mobile")


@needs_extra
def test_a_program_predicts_as_the_network(export, tmp_path):
    write_program(tmp_path / "model.pte", export)
    clips = clips_of(export.config, 3, seed=1)
    with torch.inference_mode():
        expected = export.network(clips)
    found = load_program(tmp_path / "model.pte", export.config)(clips)
    assert found.shape == (3, len(CLASSES))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@needs_extra
def test_an_int8_program_is_smaller_and_predicts_nearly_as_the_network(tmp_path):
    export = make_export("cp_mobile", base_channels=32)
    write_program(tmp_path / "fp32.pte", export)
    for name in ("int8.pte", "again.pte"):
        write_program(tmp_path / name, export, [clips_of(export.config, 8)])
    assert (tmp_path / "int8.pte").read_bytes() == (tmp_path / "again.pte").read_bytes()
    assert (tmp_path / "int8.pte").stat().st_size < (tmp_path / "fp32.pte").stat().st_size
    clips = clips_of(export.config, 16, seed=1)
    with torch.inference_mode():
        expected = export.network(clips)
    found = load_program(tmp_path / "int8.pte", export.config)(clips)
    assert float((found - expected).abs().mean()) < 0.15 * float(expected.std())


@needs_extra
def test_what_is_no_program_of_the_network_is_refused(export, tmp_path):
    path = tmp_path / "model.pte"
    path.write_bytes(b"no program")
    with pytest.raises(CheckpointError, match="is not an ExecuTorch program"):
        load_program(path, export.config)
    write_program(path, export)
    with pytest.raises(CheckpointError, match="the network of this configuration takes"):
        load_program(path, make_export("isotropic", front_end="tfsepnet", depth=1, columns=1).config)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="is not a whole ExecuTorch program"):
        load_program(path, export.config)


def test_without_the_extra_the_error_is_a_sentence(export, tmp_path, monkeypatch):
    monkeypatch.setattr(executorch_runtime, "is_available", lambda: False)
    with pytest.raises(
        CheckpointError, match=r"model\.pte needs the package executorch: install scenefront\[executorch\]"
    ):
        write_program(tmp_path / "model.pte", export)
