"""Base of fully convolutional classifiers: class scores at every position, then global average pooling.

Shape letters: B batch, F mel bins, T frames, D channels before the head, K classes.
"""

from abc import abstractmethod

from torch import Tensor, nn


class MeanOfScores(nn.Module):
    """Base class with a `head`, linear over the channels, and `pool`, global average pooling over F and T."""

    head: nn.Module
    pool: nn.Module

    @abstractmethod
    def _scenes(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, F, T) to the last stage's (B, D, F', T').

        Raises:
            ValueError: An input that the network's config cannot take.
        """

    def features(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to (B, D).

        Raises:
            ValueError: An input that the network's config cannot take: not in_channels channels, or too small.
        """
        pooled: Tensor = self.pool(self._scenes(x))
        return pooled.flatten(1)

    def classify(self, z: Tensor) -> Tensor:
        """Map features (B, D) to logits (B, K).

        In eval mode `classify(features(x))` equals `forward(x)`: the head is linear, so pooling commutes with it.
        In training a batch norm in the head sees pooled features here, and every position in `forward`.
        """
        logits: Tensor = self.head(z[:, :, None, None])
        return logits.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map a log-mel spectrogram (B, in_channels, F, T) to logits (B, K)."""
        logits: Tensor = self.pool(self.head(self._scenes(x)))
        return logits.flatten(1)
