"""Execution of trials on Ray: resources, watchdog, checkpoints; search, resume, extend, train, confirm."""
