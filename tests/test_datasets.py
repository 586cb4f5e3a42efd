"Every stage takes a `datasets.Dataset` where it takes a list of dicts."
from datasets import Dataset
import numpy as np
from embedding_search.catalog import read_catalog
from embedding_search.evaluate import Corpus
from embedding_search.families import exact_duplicates, find_families
from embedding_search.negatives import candidates, hard_negatives, random_miner
from embedding_search.queries import check_queries, read_queries
from embedding_search.search import distinct_titles
from embedding_search.split import split_queries
from embedding_search.train import training_set

ROWS = [dict(id=f'{s}{i}', title=f'{s} part {i}', category=str(i % 4)) for i in range(40) for s in ('left','right')]
PAIRS = [dict(query=f'{r["title"]} {w}', id=r['id']) for r in ROWS for w in ('please','now','in my car')]

def test_same_as_lists():
    plain = read_catalog(ROWS, category='category')
    rows = read_catalog(Dataset.from_list(ROWS), category='category')
    assert rows == plain
    data = Dataset.from_list(rows)
    fam, slots = find_families(data)
    assert (fam, slots) == find_families(plain) and fam['left3'] == fam['right3']
    assert exact_duplicates(data) == exact_duplicates(plain)
    pairs = read_queries(Dataset.from_list(PAIRS))
    kept, report = check_queries(Dataset.from_list(pairs), data)
    assert kept == check_queries(pairs, plain)[0] == PAIRS
    parts = split_queries(Dataset.from_list(kept), fam)
    assert parts == split_queries(kept, fam)
    corpus = candidates(data, fam)
    train = Dataset.from_list(parts['train'])
    groups, _ = hard_negatives(train, random_miner(len(train), len(corpus)), corpus, fam)
    columns = training_set(Dataset.from_list(groups), {r['id']: r['title'] for r in data}).column_names
    assert columns == ['anchor','positive','negative_1']
    assert distinct_titles(data)[0] == distinct_titles(plain)[0] and np.array_equal(Corpus(data, fam).family, Corpus(plain, fam).family)
