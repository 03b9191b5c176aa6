"""Data pipeline: TAU layout, validation split, data check, demo, waveform store, front ends, augmentation."""
