"""Training of detectors: scenes, augmentation, targets, losses, and the loop `pipe train` runs."""
