"""What the model hears: the TAU layout, front ends and augmentation."""
