"""What the model hears: the TAU layout, its check and a demo, the store, front ends and augmentation."""
