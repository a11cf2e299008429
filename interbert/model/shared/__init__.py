"""The match of many pairs of few images and few captions: what pairs have in common is computed once, exactly.

Until the two streams first meet, an image knows no caption and a caption no image: their embeddings, the layers of
their own before the meeting, and the queries, keys and values of the layer in which they meet are those of the image
or the caption alone (`sides.py`), and a pair gathers them. At the other end the match head reads one or two tokens of
a pair, so the last layer of a stream is computed for its first token only (`few.py`), and what nobody reads is left
out (`steps.py`). What an architecture does not allow to be shared is computed for every pair, decided by its shape
alone (`match.py`).
"""
