"""An export: a trained network in a folder that needs no study and no searcher to be used.

    config.yaml            the network, the front end, the recipe and the classes
    weights.safetensors    parameters and running statistics, fp32
    report.json, report.md what it costs by both counters, how it does on the evaluation clips, and what it came from
    <architecture>.py      of a user's own architecture: its file, which --architecture-file names

Nothing in it is ever unpickled: YAML is read by the safe loader, weights as safetensors.
"""
