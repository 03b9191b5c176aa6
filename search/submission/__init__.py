"""A challenge package: what five exports hear of an evaluation set, and a meta file, in one ZIP.

    task1/LABEL/LABEL.output.split_5.csv ...   a row a clip: the likeliest scene, and the probability of each
    task1/LABEL/LABEL.meta.yaml                who submits what, what it costs, and how it does on the development set

What is written is checked first, by the same rules that check a package of anybody's.
"""
