"""The method that closed-catalog learning replaced, with its settings; `closed_catalog.py` compares the two.

Kernel ridge regression moves the vectors of all titles towards the queries of 8,000 titles. Then two n-gram tables, for
queries and for titles, are trained with the other titles of a batch as negatives. A search adds the n-gram vector to
that of the transformer as far as the two agree."""
import random

import numpy as np

import embedding_search.model.closed_catalog as closed
from embedding_search.model.encoders import truncate
from embedding_search.model.ngrams import NgramEncoder, NgramTable, ngram_rows
from embedding_search.model.title_vectors import sum_texts

TITLES = 8000 # Titles that the regression learns from
QUERIES = 5 # Queries of each
KERNEL = dict(alpha=.01, kernel='rbf', gamma=.5)
TITLE_WEIGHT = 2. # Of the predicted queries relative to the title
BUCKETS = 16_384
WIDTH = 160
EPOCHS = 8
BATCH = 1024
RATES = (.003, .001) # Learning rates of queries and titles
BLEND = dict(weight=2., floor=.3, ceiling=1.)
BLOCK = 2048 # Titles that are moved at a time


def sample(rng, items, n): return rng.sample(items, n) if len(items) > n else items


def adapt_titles(examples, seed):
    "Learn the offset from titles to their queries, and move all titles by it."
    from sklearn.kernel_ridge import KernelRidge
    rng = random.Random(seed)
    queries_of = {}
    for query, title in enumerate(examples.answer.tolist()): queries_of.setdefault(title, []).append(query)
    known = sample(rng, sorted(queries_of), TITLES)
    means = np.stack([examples.query_vectors[sample(rng, queries_of[title], QUERIES)].mean(0) for title in known])
    vectors = examples.title_vectors.astype(float)
    offset = KernelRidge(**KERNEL).fit(vectors[known], means - vectors[known])
    moved = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start:start + BLOCK]
        moved[start:start + BLOCK] = block + TITLE_WEIGHT * (block + offset.predict(block))
    return truncate(moved, moved.shape[1])


def look_up(table, bags, which):
    "Look up texts in an `EmbeddingBag`."
    import torch
    some = closed.select_bags(bags, which)
    return table(torch.from_numpy(some.members), torch.from_numpy(some.begin[:-1]))


def train_tables(examples, titles, axes, seed):
    "Train an n-gram table for queries, and one for titles whose vectors are `titles`."
    import torch
    from torch.nn.functional import cross_entropy, normalize
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    own = np.flatnonzero(examples.trainable) # Titles are queries for themselves
    texts = [*examples.queries, *(examples.titles[i] for i in own)]
    answer = np.r_[examples.answer, own]
    text_bags = closed.make_bags([ngram_rows(text, BUCKETS) for text in texts])
    title_bags = closed.make_bags([ngram_rows(title, BUCKETS) for title in examples.titles])
    targets = truncate(titles @ axes.T, len(axes))
    start = closed.initial_table(closed.TextBags(texts, BUCKETS), targets[answer])
    query_table = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(start), freeze=False, mode='sum')
    title_table = torch.nn.EmbeddingBag.from_pretrained(torch.zeros(start.shape), freeze=False, mode='mean')
    batch = min(BATCH, len(texts))
    batches = len(texts) // batch
    optimizer = torch.optim.Adam([dict(params=table.parameters()) for table in (query_table, title_table)])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATES, total_steps=EPOCHS * batches + 1, pct_start=.1)
    for _ in range(EPOCHS):
        for chosen in rng.permutation(len(texts))[:batches * batch].reshape(batches, batch):
            wanted = answer[chosen]
            family = examples.family[wanted]
            relatives = (family[:, None] == family[None]) & ~np.eye(batch, dtype=bool)
            goals = normalize(torch.from_numpy(targets[wanted]) + look_up(title_table, title_bags, wanted), dim=-1)
            scores = closed.SCALE * normalize(look_up(query_table, text_bags, chosen), dim=-1) @ goals.T
            loss = cross_entropy(scores.masked_fill(torch.from_numpy(relatives), -1e4), torch.arange(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return query_table.weight.detach().numpy(), title_table.weight.detach().numpy()


def learn_earlier_method(examples, seed=42):
    "Return the n-gram encoder of queries and the vectors of all titles."
    titles = adapt_titles(examples, seed)
    axes = closed.principal_axes(titles, WIDTH)
    query_table, title_table = train_tables(examples, titles, axes, seed)
    quantized_axes = np.rint(axes * 32767).astype(np.int16)
    encoder = NgramEncoder(*closed.quantize_rows(query_table, closed.QUERY_LEVELS), quantized_axes, **BLEND)
    title_table = NgramTable(*closed.quantize_rows(title_table, closed.TITLE_LEVELS), quantized_axes)
    sums, counts = sum_texts(title_table, examples.titles)
    return encoder, truncate(titles + sums / np.maximum(counts, 1)[:, None] @ axes, titles.shape[1])
