"""Rebuild the shipped ICD-10-CM files from the package `simple-icd-10-cm` and compare every cell."""
import re
from pathlib import Path

import pytest

from embedding_search.data.records import read_records

cm = pytest.importorskip('simple_icd_10_cm')
DATA = Path(__file__).parents[1] / 'data/icd10cm'
ENCOUNTER = re.compile(r', ((initial|subsequent) encounter.*|sequela)$')
EVERY = [code for code in cm.get_all_codes(with_dots=True) if cm.is_category_or_subcategory(code)]
CODES = [code for code in EVERY if not cm.is_block(code)]


def title_of(code): return ' '.join(cm.get_description(code).split())


def block_title(code): return re.sub(r' \([A-Z]\w\w(-\w{3})?\)$', '', title_of(code))


def rebuild(code):
    above = [code, *cm.get_ancestors(code)]
    section = next(parent for parent in above if cm.is_block(parent))
    title = title_of(code)
    extension = cm.is_extended_subcategory(code) and ENCOUNTER.search(title)
    return dict(
        code=code,
        title=title,
        category=code[:3],
        category_title=title_of(code[:3]),
        section=block_title(section),
        chapter=block_title(above[-1]),
        billable=str(int(cm.is_leaf(code))),
        encounter_extension=str(int(bool(extension))),
    )


def test_catalog():
    shipped = [row for _, row in read_records(DATA / 'catalog.csv.gz')]
    differences = [(a, b) for a, b in zip(map(rebuild, CODES), shipped, strict=True) if a != b]
    assert not differences[:3]


def test_human_queries_are_inclusion_terms():
    terms = []
    for code in CODES:
        terms += [dict(query=' '.join(term.split()), code=code) for term in cm.get_inclusion_term(code)]
    assert terms == [row for _, row in read_records(DATA / 'human_queries.csv.gz')]


def test_missing_categories():
    "A category that is alone in its block shares its name with the block, and the package finds the block first."
    missing = list(dict.fromkeys(code for code in EVERY if cm.is_block(code)))
    assert len(missing) == 39
    assert sum(cm.is_leaf(code) for code in missing) == 5
    assert sum(len(cm.get_inclusion_term(code)) for code in missing) == 15
