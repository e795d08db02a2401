"""Mask training of many tasks at once: gradients, updates, groups of tasks, and who runs them."""
