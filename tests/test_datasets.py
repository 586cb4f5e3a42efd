"Every stage takes a `datasets.Dataset` where it takes a list of dicts."
import numpy as np
from datasets import Dataset

from embedding_search.data.catalog import read_catalog
from embedding_search.data.families import exact_duplicates, find_families
from embedding_search.data.queries import check_queries, read_queries
from embedding_search.data.split import count_coverage, order_breadth_first, split_queries
from embedding_search.evaluation.systems import Corpus
from embedding_search.model.negatives import minable_rows, mine_random, select_negatives
from embedding_search.model.training import training_set
from embedding_search.search.searcher import distinct_titles

ROWS = []
for i in range(40):
    ROWS += [dict(id=f'{side}{i}', title=f'{side} part {i}', category=str(i % 4)) for side in ('left', 'right')]
PAIRS = []
for row in ROWS:
    PAIRS += [dict(query=f'{row["title"]} {words}', id=row['id']) for words in ('please', 'now', 'in my car')]


def test_catalog_and_families():
    rows = read_catalog(ROWS, category='category')
    assert read_catalog(Dataset.from_list(ROWS), category='category') == rows
    data = Dataset.from_list(rows)
    family_of, slots = find_families(rows)
    assert find_families(data) == (family_of, slots)
    assert family_of['left3'] == family_of['right3']
    assert exact_duplicates(data) == exact_duplicates(rows)
    assert distinct_titles(data)[0] == distinct_titles(rows)[0]
    assert np.array_equal(Corpus(data, family_of).family, Corpus(rows, family_of).family)


def test_queries_and_split():
    rows = read_catalog(ROWS, category='category')
    pairs = read_queries(Dataset.from_list(PAIRS))
    assert pairs == PAIRS
    kept, report = check_queries(Dataset.from_list(pairs), Dataset.from_list(rows))
    assert (kept, report) == check_queries(pairs, rows)
    assert kept == PAIRS
    family_of, _ = find_families(rows)
    data = Dataset.from_list(kept)
    assert split_queries(data, family_of) == split_queries(kept, family_of)
    assert order_breadth_first(data, family_of) == order_breadth_first(kept, family_of)
    assert count_coverage(data, family_of) == count_coverage(kept, family_of)


def test_negatives_and_training_set():
    rows = read_catalog(ROWS, category='category')
    data = Dataset.from_list(rows)
    family_of, _ = find_families(rows)
    train = split_queries(PAIRS, family_of)['train']
    candidates = minable_rows(data, family_of)
    assert candidates == minable_rows(rows, family_of)
    mined = list(mine_random(len(train), len(candidates)))
    groups, counts = select_negatives(Dataset.from_list(train), mined, candidates, family_of)
    assert (groups, counts) == select_negatives(train, mined, candidates, family_of)
    titles = {row['id']: row['title'] for row in data}
    assert training_set(Dataset.from_list(groups), titles).column_names == ['anchor', 'positive', 'negative_1']
