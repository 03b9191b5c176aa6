"""Data: the TAU layout, its check and a demo, the waveform store, front ends and augmentation."""
