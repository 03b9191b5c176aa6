"""One tiny network, trained and exported once, and copies of its export to do things to."""

import shutil

import pytest
from trained import SMALL, train

from search.export.writing import export_trial
from search.study.study import StudyFolder


@pytest.fixture(scope="session")
def study(tiny, tmp_path_factory):
    folder = StudyFolder(tmp_path_factory.mktemp("results") / "small")
    train(folder, tiny, epochs=8, **SMALL)
    return folder


@pytest.fixture(scope="session")
def exported(study, tmp_path_factory):
    """An export, not to be changed."""
    target = tmp_path_factory.mktemp("exports") / "small-0"
    export_trial(study, 0, target)
    return target


@pytest.fixture
def export(exported, tmp_path):
    """A copy of the export, to be changed."""
    return shutil.copytree(exported, tmp_path / "export")
