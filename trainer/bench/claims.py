"""`python -m trainer bench claims`: simulated error rates of a report's claims.

Output: a table of false claims (equal methods called different) with upper limits, and of the power to find a gain.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product

from data_prep.base.errors import InputError
from trainer.statistics.simulation import Claims, Setting, count_claims, upper_limit

SEEDS = (3, 5, 10, 20)  # under 3 nothing is claimed
LANGUAGES = (1, 15)
ITEMS = (300, 5000)
LUCK = (0.0, 0.5, 5.0)
METHODS = 4  # compared with one base, with the smallest number of items
GAIN = 1.0  # point, for the power
MORE = ((250_000, 3), (1_200_000, 2))  # below so many outcomes a study, a line takes so many times as many studies
HEAD = "seeds  languages  items  luck (points)  methods  studies        mean    single language         slope"


def measure_claims(studies: int, seed: int) -> int:
    """Print false claims and power, as `bench_claims` says."""
    if studies < 1:
        raise InputError(f"--studies must be at least 1, found {studies}")
    equal = [Setting(seeds, languages, items, luck, methods) for methods, sizes in ((1, ITEMS), (METHODS, ITEMS[:1]))
             for seeds, languages, items, luck in product(SEEDS, LANGUAGES, sizes, LUCK)]
    better = [Setting(seeds, languages, items, 0.5, gain=GAIN)
              for seeds, languages, items in product(SEEDS, LANGUAGES, ITEMS)]
    print(f"False claims, in % of studies (upper 95 % limit)\n{HEAD}", flush=True)
    with ProcessPoolExecutor() as pool:
        count = partial(_count, studies=studies, seed=seed)
        _print(zip(equal, pool.map(count, equal), strict=True))
        print(f"\nPower: a gain of {GAIN:g} point found, in % of studies (upper 95 % limit)\n{HEAD}", flush=True)
        _print(zip(better, pool.map(count, better), strict=True))
    return 0


def _count(setting: Setting, studies: int, seed: int) -> Claims:
    outcomes = setting.seeds * setting.languages * setting.items * (1 + setting.methods)
    return count_claims(setting, studies * next((more for most, more in MORE if outcomes < most), 1), seed)


def _print(rows: Iterable[tuple[Setting, Claims]]) -> None:
    for s, found in rows:
        print(f"{s.seeds:5}  {s.languages:9}  {s.items:5}  {s.luck:13g}  {s.methods:7}  {found.studies:7,}  "
              f"{_share(found.mean, found.studies)}  {_share(found.language, found.studies):>16}  "
              f"{_share(found.slope, found.studies) if s.languages > 2 else '–':>12}", flush=True)


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:5.1f} ({100 * upper_limit(count, of):.1f})"
