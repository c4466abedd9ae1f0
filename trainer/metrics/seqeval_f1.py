"""seqeval's F1 over part-of-speech tags: what XTREME reports for UDPOS, there and in papers also called accuracy.

Definition: as `span_f1`, over tags without B- and I-. seqeval takes the first letter of a tag for its position and the
rest for its type, so that a run of words with one tag is one span (NOUN NOUN is right or wrong as a whole); tags that
begin with S are single words, and CCONJ and SCONJ are of one type (in seqeval before 1.0, which took whole tags for
types, they are not; XTREME pins no version). Units: fraction, 0 to 1. Source: `evaluate.py` of XTREME (Hu et al. 2020,
arXiv 2003.11080). The share of right words is `tag_accuracy`, which is usually higher.
"""

from __future__ import annotations

from dataclasses import replace

from trainer.metrics import span_f1

counts = span_f1.counts
SEQEVAL_F1 = replace(span_f1.SPAN_F1, name="seqeval_f1")
