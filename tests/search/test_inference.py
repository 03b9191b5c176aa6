"""An export hears a file as its training heard the clips."""

import numpy as np
import pytest
import soundfile
import torch

from data.front_end import FRONT_ENDS, FrontEnd
from search.export.reading import Export
from search.inference import predict
from search.trial_config import TrialConfig


@pytest.mark.parametrize("front_end", sorted(FRONT_ENDS))
def test_a_file_goes_through_the_whole_front_end_of_the_network(tmp_path, front_end):
    config = TrialConfig.from_values("isotropic", {"front_end": front_end, "width": 8, "depth": 1})
    torch.manual_seed(0)
    network = config.build().eval()
    rate_hz = config.front_end_config.rate_hz
    sound = np.random.default_rng(0).normal(0, 0.1, rate_hz).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", sound, rate_hz, subtype="FLOAT")
    heard = predict(Export(config, tuple("abcdefghij"), network), tmp_path / "noise.wav")
    with torch.inference_mode():
        expected = network(FrontEnd(config.front_end_config)(torch.from_numpy(sound)[None])).softmax(dim=1)[0]
    np.testing.assert_allclose(list(heard.probabilities.values()), expected.numpy(), atol=1e-5)
