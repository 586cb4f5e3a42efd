"""Rebuild the shipped ICD-10-CM files from the package `simple-icd-10-cm`, compare every cell, and check their card."""
import re
from pathlib import Path

import pytest

from embedding_search.data.catalog import norm, read_catalog
from embedding_search.data.families import find_families
from embedding_search.data.queries import read_queries
from embedding_search.data.records import read_records
from embedding_search.data.split import check_pinned, read_pinned, split_queries

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


@pytest.fixture(scope='module')
def rows():
    return read_catalog(DATA / 'catalog.csv.gz', id='code', category='category_title',
                        extra_columns=['encounter_extension'])


@pytest.fixture(scope='module')
def family_of(rows): return find_families(rows)[0]


@pytest.fixture(scope='module')
def pairs():
    "Training queries."
    return read_queries(DATA / 'synthetic_queries.csv.gz', id='code')


@pytest.fixture(scope='module')
def expert():
    "Expert wordings."
    return read_queries(DATA / 'human_queries.csv.gz', id='code')


def test_families_of_encounters(rows, family_of):
    "A row that the catalog marks as an encounter is in the family of the title that it extends."
    plain = {norm(row['title']): row['id'] for row in rows if row['encounter_extension'] == '0'}
    together = []
    for row in rows:
        title = norm(row['title'])
        if row['encounter_extension'] == '0' or ',' not in title: continue
        while title not in plain and ',' in title: title = title.rsplit(',', 1)[0]
        if title in plain: together.append(family_of[row['id']] == family_of[plain[title]])
    assert len(together) > 49_000
    assert sum(together) / len(together) > .99


def assert_card_says(*numbers):
    "The card of the data contains each number."
    card = set(re.findall(r'\d[\d,]*\d', (DATA / 'README.md').read_text()))
    assert {f'{number:,}' for number in numbers} <= card


def test_training_queries(pairs, expert, family_of):
    first, other = pairs[:88_985], pairs[88_985:]
    covered = {family_of[pair['id']] for pair in pairs}
    titles = [{pair['id'] for pair in part} for part in (pairs, first, other)]
    assert titles[0] <= set(CODES)
    assert not titles[1] & titles[2]
    assert_card_says(len(pairs), len(other), *map(len, titles), len(covered), len(set(family_of.values())))
    wordings = {norm(pair['query']) for pair in expert}
    assert_card_says(len(expert), sum(norm(pair['query']) in wordings for pair in pairs))


def test_pinned_split(pairs, expert, family_of):
    "The pinned split is the one of seed 42."
    pinned = read_pinned(DATA / 'split.csv.gz')
    assert check_pinned(pinned, pairs, family_of) == dict(families=0, queries=0)
    split = split_queries(pairs, family_of, expert, seed=42)
    assert split_queries(pairs, family_of, expert, seed=7, pinned=pinned) == split
    sizes = [len(split[name]) for name in ('train', 'heldout_queries', 'heldout_titles')]
    assert_card_says(*sizes, split['dropped'], len(pinned.families), len(pinned.families) + len(pinned.queries))
