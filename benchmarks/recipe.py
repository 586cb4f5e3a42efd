"""What each ingredient of training costs, and what it buys. Judged on dev, never on test.

    python benchmarks/recipe.py --run runs/full plain                    the recipe as it is, on half of the pairs
    python benchmarks/recipe.py --run runs/full batch-64 batch-256 …     the same with one thing changed
    python benchmarks/recipe.py --list                                   all names

Every row goes to benchmarks/results/recipe.json as soon as it is there; finished rows are not repeated (--again repeats them). RUN is a finished run: its split, families and catalog are used.
With `--seed` a row is trained with another seed and kept under a name of its own. A GPU is used when there is one; then --share 1 takes all pairs."""
import argparse, json, random, shutil, time
from collections import Counter, defaultdict
from pathlib import Path
import numpy as np
from embedding_search.augment import augment
from embedding_search.catalog import read_jsonl
from embedding_search.config import AugmentSettings, StaticSettings, TrainSettings
from embedding_search.encode import TorchEncoder, has_bf16, load_model, pin_threads
from embedding_search.evaluate import Corpus, dense_scores, headers, judged, strict_rows
from embedding_search.guard import answer_ranks, between, read_probe
from embedding_search.metrics import best, paired_bootstrap, query_metrics, vocabulary
from embedding_search.negatives import bm25_miner, candidates, dense_miner, hard_negatives, random_miner
from embedding_search.search import distinct_titles
from embedding_search.shift import Shift, means, some_queries
from embedding_search.static import learn_static, lessons
from embedding_search.train import train, training_set
from teacher import Teacher, second_look

DIMS = TrainSettings().dims
OUT = Path(__file__).parent/'results'/'recipe.json'

class Lab:
    "What all rows share: pairs, titles, dev queries, the base model's vectors."
    def __init__(self, run, work, share, seed, strict='encounter_extension=0'):
        self.run, self.work, self.seed = run, work, seed; work.mkdir(parents=True, exist_ok=True)
        self.rows, parts = read_jsonl(run/'catalog.jsonl'), json.loads((run/'split.json').read_text())
        self.fam = json.loads((run/'families.json').read_text())['family']
        entries = strict_rows(self.rows, strict)
        self.corpus, self.below = Corpus(entries, self.fam), headers(entries) if strict else {}
        self.title, self.category = {r['id']: r['title'] for r in self.rows}, {r['id']: r['category'] for r in self.rows}
        self.all_pairs = parts['train']
        self.pairs = random.Random(42).sample(self.all_pairs, round(share*len(self.all_pairs)))
        self.held = {self.fam[i] for x in parts['unseen'] for i in x['ids']}
        dev = lambda k: [x for x in parts[k] if x['part'] == 'dev']
        self.dev = {'unseen titles': dev('unseen'), 'unseen queries': dev('seen'), 'human': dev('judged')}
        self.words = vocabulary(self.title.values(), (p['query'] for p in parts['train']))
        sizes = defaultdict(int)
        for f in self.fam.values(): sizes[f] += 1
        self.size = {i: sizes[f] for i,f in self.fam.items()}
    def ranks(self, model, text=lambda title, category: title):
        "Ranks of all dev queries under `model`; `text` is what is encoded of an entry."
        e = TorchEncoder(model, bf16=has_bf16())
        c = e.encode([text(t, r['category']) for t,r in zip(self.corpus.titles, self.corpus.entry)], 'title')
        return {p: self.corpus.rank(dense_scores(e.encode([x['query'] for x in q], 'query'), c), q, self.below) for p,q in self.dev.items()}
    def base(self):
        "Ranks under the base model, kept in the work folder."
        f = self.work/'base.json'
        if not f.exists(): f.write_text(json.dumps({p: dict(strict=[x.tolist() for x in r['strict']], family=[x.tolist() for x in r['family']], outranked=r['outranked'].tolist()) for p,r in self.ranks(load_model()).items()}))
        return {p: {k: np.array(v) if k == 'outranked' else [np.array(x, dtype=float) for x in v] for k,v in r.items()} for p,r in json.loads(f.read_text()).items()}
    def mined(self, how, n, margin=.05):
        "The pairs with `n` negatives each, found by `how`."
        c = candidates(self.rows, self.fam, self.held); names, q = [r['title'] for r in c], [p['query'] for p in self.pairs]
        if how == 'random': found = random_miner(len(q), len(c), depth=n+5, seed=self.seed)
        elif how == 'bm25': found = bm25_miner(q, [self.title[p['id']] for p in self.pairs], names)
        else:
            e = TorchEncoder(load_model(), bf16=has_bf16())
            found = dense_miner(e.encode(q, 'query'), e.encode([self.title[p['id']] for p in self.pairs], 'title'), e.encode(names, 'title'))
        return hard_negatives(self.pairs, found, c, self.fam, n, margin)[0]
    def pairs_of(self, name):
        "What the model `name` was trained on, of these pairs: all, or the rows' share."
        return self.all_pairs if name.startswith(('full','all')) else self.pairs
    def of_titles(self, n):
        "All pairs of `n` titles."
        ids = sorted({p['id'] for p in self.all_pairs})
        chosen = set(random.Random(42).sample(ids, min(n, len(ids))))
        return [p for p in self.all_pairs if p['id'] in chosen]
    def of_categories(self, n):
        "All pairs of `n` of the twenty categories with most trained titles."
        count = Counter(self.category[i] for i in {p['id'] for p in self.all_pairs})
        chosen = set(random.Random(42).sample(sorted(count, key=lambda k: (-count[k], k))[:20], n))
        return [p for p in self.all_pairs if self.category[p['id']] in chosen]
    def of_relatives(self, share=.5):
        "The pairs, and some of their queries once more with another title of the same family for an answer."
        rng, kin = random.Random(self.seed), defaultdict(list)
        for i in sorted(self.title): kin[self.fam[i]].append(i)
        more = [dict(query=p['query'], id=rng.choice(k)) for p in self.pairs if (k := [i for i in kin[self.fam[p['id']]] if self.title[i] != self.title[p['id']]])]
        return self.pairs + rng.sample(more, round(share*len(more)))
    def with_icons(self, run='runs/mdi'):
        "The pairs together with those of a run over another catalog."
        run = Path(run); self.title |= {f"mdi:{r['id']}": r['title'] for r in read_jsonl(run/'catalog.jsonl')}; self.category = defaultdict(str, self.category)
        return self.pairs + [p | dict(id=f"mdi:{p['id']}") for p in json.loads((run/'split.json').read_text())['train']]
    def from_titles(self, n):
        "Titles that have no query of their own, as people might shorten them."
        rng, known = random.Random(self.seed), {self.fam[p['id']] for p in self.all_pairs}
        rest = [r for r in candidates(self.rows, self.fam, self.held) if r['id'] not in known]
        return augment([dict(query=shorten(r['title'], rng), id=r['id']) for r in rng.sample(rest, min(n, len(rest)))], AugmentSettings(share=.3), self.seed)

def shorten(title, rng):
    "Two thirds of the words of `title`, in lower case, sometimes in another order."
    words = [w for w in title.lower().replace(',', ' ').split() if w not in ('of','the','and','with','to','in','or','for','other','unspecified')] or title.lower().split()
    keep = sorted(rng.sample(range(len(words)), max(1, round(len(words)*rng.uniform(.5, 1)))))
    if rng.random() < .3: rng.shuffle(keep)
    return ' '.join(words[i] for i in keep)

def by_category(lab, size=16):
    "Batches of groups of `size` pairs from one category, so that a title meets its neighbours in the batch; no title twice."
    at = {t: i for i,t in lab.title.items()}
    def sampler(data, batch_size, drop_last=False, generator=None, seed=0, **kwargs):
        class Batches:
            def set_epoch(self, n): self.epoch = n
            epoch = 0
            def __len__(self): return len(data)//batch_size
            def __iter__(self):
                rng, turn = random.Random(seed+self.epoch), defaultdict(int); order = list(range(len(data))); rng.shuffle(order)
                titles, key = data['positive'], {}
                for i in order: key[i] = (lab.category[at[titles[i]]], turn[titles[i]], rng.random()); turn[titles[i]] += 1
                order.sort(key=key.get)
                bites = [order[i:i+size] for i in range(0, len(order), size)]; rng.shuffle(bites)
                batch, seen, late = [], set(), []
                for i in [i for b in bites for i in b]:
                    if titles[i] in seen: late.append(i); continue
                    batch.append(i); seen.add(titles[i])
                    if len(batch) == batch_size:
                        yield batch
                        batch, seen = [], set()
                        while late and len(batch) < batch_size//8 and titles[late[-1]] not in seen: seen.add(titles[late[-1]]); batch.append(late.pop())
        return Batches()
    return sampler

def losses(kind):
    "Another loss of sentence-transformers, as a function of the model."
    from sentence_transformers.sentence_transformer import losses as st
    def gist(model): return st.GISTEmbedLoss(model, load_model(), temperature=.05)
    def cached(model): return st.MatryoshkaLoss(model, st.CachedMultipleNegativesRankingLoss(model, scale=20, mini_batch_size=128), DIMS, matryoshka_weights=[1/len(DIMS)]*len(DIMS))
    def margin(model):
        from sentence_transformers.util import pairwise_cos_sim
        return st.MarginMSELoss(model, lambda a, b: 20*pairwise_cos_sim(a, b))
    return dict(gist=gist, cached=cached, margin=margin, triplet=lambda m: st.TripletLoss(m, st.TripletDistanceMetric.COSINE, .3), cosine=lambda m: st.CosineSimilarityLoss(m))[kind]

def whole_batches(lab):
    "Batches as they come: labels that are numbers cannot be kept apart."
    from sentence_transformers.training_args import BatchSamplers
    return BatchSamplers.BATCH_SAMPLER

def scored(data, lab):
    "Triplets as pairs of texts with a score: 1 for the positive, 0 for the negative."
    from datasets import Dataset, concatenate_datasets
    each = [Dataset.from_dict(dict(anchor=data['anchor'], other=data[c], score=[x]*len(data))) for c,x in (('positive', 1.), ('negative_1', 0.))]
    return concatenate_datasets(each).shuffle(seed=42)

def row(train={}, data=lambda lab: lab.pairs, **more): return dict(train=train, data=data, **more)

ROWS = {'plain': row(), 'all': row(data=lambda lab: lab.all_pairs), 'all-epochs-2': row(dict(epochs=2), lambda lab: lab.all_pairs),
    **{f'titles-{n}': row(data=lambda lab, n=n: lab.of_titles(n)) for n in (1000, 2400, 4800, 9700)}, 'categories-7': row(data=lambda lab: lab.of_categories(7)),
    **{f'lr-{lr:g}': row(dict(learning_rate=lr)) for lr in (2e-5, 5e-5, 1e-4, 4e-4)},
    **{f'scale-{s}': row(dict(scale=s)) for s in (10, 40, 60)},
    **{f'batch-{b}': row(dict(batch_size=b)) for b in (32, 64, 256)}, **{f'cached-{b}': row(dict(batch_size=b), loss='cached') for b in (512, 2048)},
    **{f'epochs-{e}': row(dict(epochs=e)) for e in (2, 3)},
    'no-matryoshka': row(dict(dims=[384])), 'lora-16': row(dict(lora=16, learning_rate=1e-3)),
    **{f'{how}-{n}': row(data=lambda lab, how=how, n=n: lab.mined(how, n)) for how in ('random','bm25','base') for n in (1, 3)},
    'base-1-no-margin': row(data=lambda lab: lab.mined('base', 1, -9)),
    'by-category': row(sampler=by_category), 'by-category-64': row(sampler=lambda lab: by_category(lab, 64)),
    'gist': row(loss='gist'), 'triplet-base-1': row(data=lambda lab: lab.mined('base', 1), loss='triplet'), 'cosine-base-1': row(data=lambda lab: lab.mined('base', 1), loss='cosine', reshape=scored),
    'relabelled-1': row(data=lambda lab: Teacher(lab).relabelled()),
    'margin-mse': row(lambda lab: dict(base=str(lab.work/'base-1-42'/'model'), learning_rate=5e-5, epochs=.5), loss='margin', reshape=lambda data, lab: Teacher(lab).margins(lab.work/'base-1-42'/'model'), sampler=whole_batches),  # Goes on from `base-1`
    'family-positives': row(data=lambda lab: lab.of_relatives()), 'two-domains': row(data=lambda lab: lab.with_icons()),
    'with-category': row(text=lambda title, category: f'{title}. {category}'),
    'augment-0.3': row(data=lambda lab: augment(lab.pairs, AugmentSettings(share=.3))),
    'titles-as-queries-0.3': row(data=lambda lab: lab.pairs+lab.from_titles(round(.3*len(lab.pairs)))),
}

def one(lab, name):
    "Train and judge one row."
    r, folder = ROWS[name], lab.work/f'{name}-{lab.seed}'
    shutil.rmtree(folder, ignore_errors=True)
    start = time.time(); pairs = r['data'](lab); prepared = time.time()-start
    text = r.get('text', lambda title, category: title)
    titles = {i: text(t, lab.category[i]) for i,t in lab.title.items()}
    cfg = TrainSettings(**dict(max_pairs=0, learning_rate=2e-4, evals=1) | (r['train'](lab) if callable(r['train']) else r['train']))
    hooks = dict(loss=losses(r['loss'])) if 'loss' in r else {}
    if 'sampler' in r: hooks['sampler'] = r['sampler'](lab)
    start = time.time(); got = train(r.get('reshape', lambda data, lab: data)(training_set(pairs, titles, lab.seed), lab), folder/'model', folder/'checkpoints', cfg, title=titles, seed=lab.seed, progress=True, **hooks); took = time.time()-start
    shutil.rmtree(folder/'checkpoints', ignore_errors=True)
    ranks = lab.ranks(load_model(str(folder/'model')), text)
    np.savez(folder/'ranks.npz', **{p: best(x['strict']) for p,x in ranks.items()})
    return dict(pairs=len(pairs), prepare_s=round(prepared, 1), train_s=round(took, 1), pairs_per_second=round(got['pairs_per_second'], 1), peak_gib=round(got['peak_gib'], 2), **compared(lab, ranks, {p['id'] for p in pairs}))

def compared(lab, ranks, taught=None):
    "Metrics of `ranks` by part, beside the base model and beside the row `plain`; `taught`: ids that were trained on, if not those of all pairs."
    out, base, was = {}, lab.base(), lab.work/'plain-42'/'ranks.npz'
    taught = taught or {p['id'] for p in lab.all_pairs}
    for p,q in lab.dev.items():
        j = judged(ranks[p], base[p], [x['ids'][0] for x in q], lab.corpus.slices(q, lab.words, taught, lab.size, lab.below))
        out[p] = dict(queries=len(q), **{m: j['strict'][m] for m in ('Recall@1','Recall@5','MRR')}, family={m: j['family'][m] for m in ('Recall@5','MRR')}, gain=j.get('gain'), movement=j.get('movement'), slices=j['slices'])
        if was.exists():
            a, b = (query_metrics(x[:,None]) for x in (np.load(was)[p], best(ranks[p]['strict'])))
            out[p]['over_plain'] = {m: paired_bootstrap(a[m], b[m], groups=[x['ids'][0] for x in q]) for m in ('Recall@5','MRR')}
    return dict(parts=out)

def model_of(lab, name):
    "The model of a row; `base`: untrained; `full`: the one of the run, trained on all pairs."
    return load_model() if name == 'base' else load_model(str(lab.run/'tuned' if name == 'full' else lab.work/f'{name}-{lab.seed}'/'model'))

def blend(lab, name, shares=(.3, .5, .7, .85)):
    "What `name` is worth at several distances from the base model."
    return {f'{s:g}': compared(lab, lab.ranks(between(load_model(), model_of(lab, name), s))) for s in shares}

def shift(lab, name, shares=(.5, 1.), weights=(1., 2., 3.)):
    "The same with titles moved towards their queries."
    out, known = {}, some_queries(lab.pairs_of(name), seed=lab.seed)
    for s in shares if name != 'base' else (1.,):
        e = TorchEncoder(between(load_model(), model_of(lab, name), s), bf16=has_bf16())
        c, at = e.encode(lab.corpus.titles, 'title'), e.encode([lab.title[i] for i in known], 'title')
        start = time.time()
        rule = Shift.fit(at, means(e.encode([q for x in known.values() for q in x], 'query'), [len(x) for x in known.values()]))
        asked = {p: e.encode([x['query'] for x in q], 'query') for p,q in lab.dev.items()}; took = time.time()-start
        for rule.weight in (0., *weights):
            moved = rule.move(c)
            out[f'{s:g}, weight {rule.weight:g}'] = dict(fit_s=round(took, 1), **compared(lab, {p: lab.corpus.rank(dense_scores(asked[p], moved), q, lab.below) for p,q in lab.dev.items()}))
    return out

def final(lab, name, share=.5):
    "The row as it would ship, at the settings' own numbers."
    cfg = StaticSettings()
    return static(lab, name, share, trust=((cfg.floor, cfg.weight),), tables=(('two tables', cfg),))

def nearer(lab, name, shares=(.3, .4)):
    "`final` with less of the way from the base model to the tuned one."
    return {f'share {s:g}, {k}': v for s in shares for k,v in final(lab, name, s).items() if 'floor' in k or k == 'transformer alone'}

def static(lab, name, share=.5, trust=((.2, 2), (.3, 1), (.3, 2), (.3, 4), (.4, 2)), tables=(('one table', StaticSettings(titles=False)), ('two tables', StaticSettings()))):
    "A static encoder for the titles as they are moved, alone and beside the transformer, without and with a table for titles; `probe`: Recall@5 on everyday queries."
    pairs, (names, where) = lab.pairs_of(name), distinct_titles(lab.rows)
    at = {r['id']: int(n) for r,n in zip(lab.rows, where)}
    e, known = TorchEncoder(between(load_model(), model_of(lab, name), share), bf16=has_bf16()), some_queries(pairs, seed=lab.seed)
    v = e.encode(names, 'title')
    moved = Shift.fit(v[[at[i] for i in known]], means(e.encode([q for x in known.values() for q in x], 'query'), [len(x) for x in known.values()])).move(v)
    texts, answer, family = lessons([dict(r, family=lab.fam[r['id']], title_no=at[r['id']]) for r in lab.rows], pairs, lab.held)
    asked, (probe, general) = {p: e.encode([x['query'] for x in q], 'query') for p,q in lab.dev.items()}, read_probe('data/everyday/probe.csv')
    def row(vector, titles, took=0.):
        "Of a function from texts and transformer's vectors to vectors."
        c = titles[[at[r['id']] for r in lab.corpus.entry]]
        both = type('Both', (), dict(encode=lambda self, t, kind: vector(t, e.encode(t, kind)) if kind == 'query' else e.encode(t, kind)))()
        return dict(fit_s=round(took, 1), probe=float((answer_ranks(both, dict(probe=probe), general)['probe'] <= 5).mean()),
                    **compared(lab, {p: lab.corpus.rank(dense_scores(vector([x['query'] for x in q], asked[p]), c), q, lab.below) for p,q in lab.dev.items()}))
    out = {'transformer alone': row(lambda t, v: v, moved)}
    for what,cfg in tables:
        start = time.time(); table, extra = learn_static(texts, answer, names, moved, family, cfg, lab.seed); took = time.time()-start
        c = extra.add(moved, names) if extra else moved
        if extra: out[f'{what}, transformer alone'] = row(lambda t, v: v, c, took)
        out[f'{what}, static alone'] = row(lambda t, v: table.encode(t), c, took)
        for table.floor, table.weight in trust: out[f'{what}, floor {table.floor:g}, weight {table.weight:g}'] = row(lambda t, v: table.join(v, t), c, took)
    return out

def icons(lab, name):
    "A model of this catalog, or `own`: the one of the run over icon names, judged on the icons' dev queries."
    other = Lab(Path('runs/mdi'), lab.work/'icons', 1, lab.seed, '')
    return {'on icons': compared(other, other.ranks(load_model('runs/mdi/tuned') if name == 'own' else model_of(lab, name)))}

def teacher(lab, name):
    "A row whose first titles the cross-encoder puts in order, which no tab could do; and what it said about the negatives."
    t = Teacher(lab)
    return {'second look': compared(lab, second_look(lab, TorchEncoder(model_of(lab, name), bf16=has_bf16()), t)) | t.numbers()}

def short(x):
    "`x` with floats of five digits."
    return {k: short(v) for k,v in x.items()} if isinstance(x, dict) else [short(v) for v in x] if isinstance(x, list) else round(x, 5) if isinstance(x, float) else x

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('names', nargs='*'); a.add_argument('--run', type=Path, default='runs/full'); a.add_argument('--work', type=Path, default='runs/recipe'); a.add_argument('--share', type=float, default=.5, help='share of the training pairs')
    a.add_argument('--seed', type=int, default=42); a.add_argument('--threads', type=int, default=2); a.add_argument('--again', action='store_true'); a.add_argument('--list', action='store_true')
    a = a.parse_args()
    if a.list or not a.names: print(*ROWS, *(f'{k}:{r}' for k in ('blend','shift','static') for r in ('base','plain','full')), 'final:all', 'final:all-epochs-2', 'nearer:full', 'nearer:all-epochs-2', 'teacher:plain', *(f'icons:{r}' for r in ('own','plain','two-domains')), sep='\n'); raise SystemExit
    pin_threads(a.threads)
    lab = Lab(a.run, a.work, a.share, a.seed)
    found = json.loads(OUT.read_text()) if OUT.exists() else {}
    for name in a.names:
        key = name + (f'@{a.seed}' if a.seed != 42 else '')
        if key in found and not a.again: continue
        found[key] = dict(share=a.share, seed=a.seed, threads=a.threads, **(dict(alpha=dict(blend=blend, shift=shift, static=static, final=final, nearer=nearer, icons=icons, teacher=teacher)[name.split(':')[0]](lab, name.split(':')[1])) if ':' in name else one(lab, name)))
        found = (json.loads(OUT.read_text()) if OUT.exists() else {}) | {key: found[key]}  # Another process may have written rows meanwhile
        OUT.write_text('{\n' + ',\n'.join(f'{json.dumps(k)}: {json.dumps(short(v))}' for k,v in found.items()) + '\n}\n')
        show = found[key].get('alpha') or {'': found[key]}
        for k,v in show.items(): print(key, k, {p: (round(100*x['Recall@5'], 1), round(100*x['MRR'], 1), x['movement'] and round(x['movement']['ratio'], 1)) for p,x in v['parts'].items()}, flush=True)
