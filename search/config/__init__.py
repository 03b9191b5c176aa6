"""Settings, trial configurations and recipes as frozen dataclasses; errors and messages."""
