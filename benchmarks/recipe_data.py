"""Choose and change training pairs, batches and losses for the rows of `recipe.py`.

Functions with the argument `lab` take a `TrainingLab` and return training groups `{'query', 'id', 'negatives'}`, the
last one optional, unless they say otherwise."""
import random
from collections import Counter, defaultdict
from functools import partial
from itertools import chain

from lab import fast_encoder
from teacher import Teacher

from embedding_search.data.augmentation import AugmentSettings, augment
from embedding_search.model.encoders import load_model
from embedding_search.model.negatives import minable_rows, mine_bm25, mine_dense, mine_random, select_negatives
from embedding_search.model.training import TrainSettings
from embedding_search.run import Run

ICONS = 'runs/mdi' # Run over another catalog, icon names
FILLERS = {'of', 'the', 'and', 'with', 'to', 'in', 'or', 'for', 'other', 'unspecified'}
LARGE_CATEGORIES = 20 # Categories with most trained titles, of which some are drawn
SHARE = .3 # Share of augmented queries, and of titles that are added as queries
TEACHER_START = 'base-1-42' # Model that distillation starts from


# Training pairs

def share_of_pairs(lab): return lab.pairs


def all_pairs(lab): return lab.all_pairs


def pairs_of_titles(lab, n):
    "Return all pairs of `n` titles."
    ids = sorted({pair['id'] for pair in lab.all_pairs})
    chosen = set(random.Random(42).sample(ids, min(n, len(ids))))
    return [pair for pair in lab.all_pairs if pair['id'] in chosen]


def pairs_of_categories(lab, n):
    "Return all pairs of `n` of the largest categories."
    counts = Counter(lab.category_of[id] for id in {pair['id'] for pair in lab.all_pairs})
    largest = sorted(counts, key=lambda category: (-counts[category], category))[:LARGE_CATEGORIES]
    chosen = set(random.Random(42).sample(largest, n))
    return [pair for pair in lab.all_pairs if lab.category_of[pair['id']] in chosen]


def mined_pairs(lab, miner, n, margin=.05):
    "Add `n` mined negatives to each pair."
    candidates = minable_rows(lab.rows, lab.family_of, lab.heldout)
    candidate_titles = [row['title'] for row in candidates]
    queries = [pair['query'] for pair in lab.pairs]
    answers = [lab.title_of[pair['id']] for pair in lab.pairs]
    if miner == 'random': mined = mine_random(len(queries), len(candidates), depth=n + 5, seed=lab.seed)
    elif miner == 'bm25': mined = mine_bm25(queries, answers, candidate_titles)
    else:
        encoder = fast_encoder(load_model())
        vectors = encoder.encode(queries, 'query'), encoder.encode(answers, 'title')
        mined = mine_dense(*vectors, encoder.encode(candidate_titles, 'title'))
    return select_negatives(lab.pairs, mined, candidates, lab.family_of, n, margin)[0]


def pairs_with_relatives(lab, share=.5):
    "Repeat a share of the queries with another title of the same family as the answer."
    rng = random.Random(lab.seed)
    members = defaultdict(list)
    for id in sorted(lab.title_of): members[lab.family_of[id]].append(id)
    more = []
    for pair in lab.pairs:
        title = lab.title_of[pair['id']]
        others = [id for id in members[lab.family_of[pair['id']]] if lab.title_of[id] != title]
        if others: more.append(dict(query=pair['query'], id=rng.choice(others)))
    return lab.pairs + rng.sample(more, round(share * len(more)))


def icon_id(id): return f'mdi:{id}'


def icon_titles():
    "Return the titles of the icons by id."
    return {icon_id(id): title for id, title in Run(ICONS).titles().items()}


def pairs_with_icons(lab):
    "Add the training pairs of the icons."
    return lab.pairs + [pair | dict(id=icon_id(pair['id'])) for pair in Run(ICONS).split()['train']]


def shorten(title, rng):
    "Keep half to all of the words of a title in lower case, sometimes in another order."
    words = title.lower().replace(',', ' ').split()
    words = [word for word in words if word not in FILLERS] or title.lower().split()
    n = max(1, round(len(words) * rng.uniform(.5, 1)))
    kept = sorted(rng.sample(range(len(words)), n))
    if rng.random() < .3: rng.shuffle(kept)
    return ' '.join(words[i] for i in kept)


def pairs_with_titles(lab):
    "Add shortened titles as queries, from families without training queries."
    rng = random.Random(lab.seed)
    trained = {lab.family_of[pair['id']] for pair in lab.all_pairs}
    rest = [row for row in minable_rows(lab.rows, lab.family_of, lab.heldout) if row['id'] not in trained]
    chosen = rng.sample(rest, min(round(SHARE * len(lab.pairs)), len(rest)))
    more = [dict(query=shorten(row['title'], rng), id=row['id']) for row in chosen]
    return lab.pairs + augment(more, AugmentSettings(share=SHARE), lab.seed)


def augmented_pairs(lab): return augment(lab.pairs, AugmentSettings(share=SHARE))


def relabeled_pairs(lab): return Teacher(lab).relabel()


def title_and_category(title, category): return f'{title}. {category}'


# Datasets: functions of the result of `training_set` and of the lab

def unchanged(data, lab): return data


def scored_texts(data, lab):
    "Turn triplets into pairs of texts with a score: 1 for the positive, 0 for the negative."
    from datasets import Dataset, concatenate_datasets
    parts = []
    for column, score in (('positive', 1.), ('negative_1', 0.)):
        columns = dict(anchor=data['anchor'], other=data[column], score=[score] * len(data))
        parts.append(Dataset.from_dict(columns))
    return concatenate_datasets(parts).shuffle(seed=42)


def teacher_margins(data, lab): return Teacher(lab).margins(lab.work/TEACHER_START/'model')


# Batches: functions of the lab that return a batch sampler of sentence-transformers

def any_batches(lab):
    "Draw batches that may hold a title twice, because labels are numbers."
    from sentence_transformers.training_args import BatchSamplers
    return BatchSamplers.BATCH_SAMPLER


class CategoryBatches:
    "Fill batches with groups of pairs from one category, and with no title twice."
    def __init__(self, data, batch_size, category_of_title, group_size, seed=0, **options):
        self.titles = list(data['positive'])
        self.category_of_title = category_of_title
        self.batch_size = batch_size
        self.group_size = group_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch): self.epoch = epoch

    def __len__(self): return len(self.titles) // self.batch_size

    def grouped_order(self):
        "Order the pairs: groups of one category in random order."
        rng = random.Random(self.seed + self.epoch)
        order = list(range(len(self.titles)))
        rng.shuffle(order)
        turn = Counter() # How often a title came before: pairs of one title end up far apart
        key = {}
        for i in order:
            title = self.titles[i]
            key[i] = self.category_of_title[title], turn[title], rng.random()
            turn[title] += 1
        order.sort(key=key.get)
        groups = [order[start:start + self.group_size] for start in range(0, len(order), self.group_size)]
        rng.shuffle(groups)
        return list(chain.from_iterable(groups))

    def __iter__(self):
        batch, seen, postponed = [], set(), []
        for i in self.grouped_order():
            if self.titles[i] in seen:
                postponed.append(i)
                continue
            batch.append(i)
            seen.add(self.titles[i])
            if len(batch) < self.batch_size: continue
            yield batch
            batch, seen = [], set()
            while postponed and len(batch) < self.batch_size // 8 and self.titles[postponed[-1]] not in seen:
                seen.add(self.titles[postponed[-1]])
                batch.append(postponed.pop())


def category_batches(lab, group_size=16):
    "Let a title meet its neighbors of the same category in a batch."
    category_of_title = {title: lab.category_of[id] for id, title in lab.title_of.items()}
    return partial(CategoryBatches, category_of_title=category_of_title, group_size=group_size)


# Losses: functions of the model

def gist_loss(model):
    from sentence_transformers.sentence_transformer.losses import GISTEmbedLoss
    return GISTEmbedLoss(model, load_model(), temperature=.05)


def cached_loss(model):
    from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MatryoshkaLoss
    dims = TrainSettings().dims
    loss = CachedMultipleNegativesRankingLoss(model, scale=20, mini_batch_size=128)
    return MatryoshkaLoss(model, loss, dims, matryoshka_weights=[1 / len(dims)] * len(dims))


def margin_loss(model):
    from sentence_transformers.sentence_transformer.losses import MarginMSELoss
    from sentence_transformers.util import pairwise_cos_sim
    def similarity(a, b): return 20 * pairwise_cos_sim(a, b)
    return MarginMSELoss(model, similarity)


def triplet_loss(model):
    from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss
    return TripletLoss(model, TripletDistanceMetric.COSINE, .3)


def cosine_loss(model):
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
    return CosineSimilarityLoss(model)
