"""Challenge package: the predictions of five exports on an evaluation set, and a meta file, in one ZIP.

    task1/LABEL/LABEL.output.split_5.csv ...   a row a clip: predicted scene and probabilities
    task1/LABEL/LABEL.meta.yaml                authors, system, complexity and results on the development set

A package is validated before it gets its name, by the same rules as a package of any other origin.
"""
