"""Columns of a shard.

id                     row number in the source, before anything is skipped
key                    the publisher's name of the row, else the row number as text; unique in a cell
first_ids, second_ids  token ids without special tokens; `second_ids` is empty for single texts
label                  index into the manifest's labels, -1 for none
length                 length of the assembled and truncated model input, special tokens included
"""

from __future__ import annotations

import datasets

FEATURES = datasets.Features({
    "id": datasets.Value("int64"),
    "key": datasets.Value("string"),
    "first_ids": datasets.List(datasets.Value("int32")),
    "second_ids": datasets.List(datasets.Value("int32")),
    "label": datasets.Value("int64"),
    "length": datasets.Value("int32"),
})
