"""Translation ranking by a cross-encoder: multiple choice among the translation and other sentences.

See `data_prep.kinds.translation_ranking`; the negatives are part of a row.
"""

from __future__ import annotations

from trainer.kinds import multiple_choice

KIND = multiple_choice.KIND
