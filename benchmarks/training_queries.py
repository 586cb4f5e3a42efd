"""What augmented queries, and a search log, add to synthetic training queries. Judged on dev, never on test.

    python benchmarks/training_queries.py --run runs/demo --pairs 8000 none augment log:500 log:2000 log:8000

Each name is one training run of the same synthetic pairs: as they are, with 30% of them varied as people type, or with the pairs of so many simulated searches added.
`none` comes first: the simulated users search with it. Finished runs are kept in the results file and not repeated with the same --pairs (--again repeats them)."""
import argparse, json, random, shutil
from collections import defaultdict
from hashlib import sha256
from pathlib import Path
import numpy as np
from embedding_search.augment import KINDS, augment
from embedding_search.catalog import norm, read_jsonl
from embedding_search.config import AugmentSettings, LogSettings, TrainSettings
from embedding_search.encode import TorchEncoder, has_bf16, load_model, pin_threads, top_k
from embedding_search.evaluate import Corpus, dense_scores
from embedding_search.logs import learn_from
from embedding_search.metrics import is_prefix, is_shorthand, paired_bootstrap, query_metrics, vocabulary
from embedding_search.train import train, training_set

OUT = Path(__file__).parent/'results'/'training_queries.json'

def share(text): return int(sha256(text.encode()).hexdigest(), 16) % 1000/1000

def dev_queries(run):
    "Human dev queries of simulated users, those held back, and synthetic dev queries; none is in the test part."
    parts = json.loads((run/'split.json').read_text())
    human = [x for x in parts['judged'] if x['part'] == 'dev']
    users = [x for x in human if share(norm(x['query'])) < .7]
    return parts['train'], users, [x for x in human if share(norm(x['query'])) >= .7], [x for p in ('unseen','seen') for x in parts[p] if x['part'] == 'dev']

def cut(x):
    "A dev query before its last word is finished, by a seed that training does not use."
    return dict(x, query=KINDS['prefix'](x['query'], random.Random(sha256(f"dev\0{x['query']}".encode()).digest())))

def simulate(users, vectors, corpus, ids, encode, n, seed=42):
    "Searches of `n` sessions: people who know what they need, see ten hits, look at rank r with a chance of 1/r, and sometimes err or try again."
    rng, events = random.Random(seed), []
    by = defaultdict(list)
    for x in users:
        for i in x['ids']: by[i].append(x)
    weights = [1/(k+1)**.5 for k in range(len(users))]      # some needs are frequent
    order = users[:]; rng.shuffle(order)
    people = rng.choices(order, weights, k=n)
    hits = dict(zip([x['query'] for x in users], top_k(encode([x['query'] for x in users], 'query'), vectors, 10)[1]))
    def search(x, need, session, time):
        shown, picked = [ids[j] for j in hits[x['query']]], ''
        right = {j for j in corpus.relevant(need)}
        for r,j in enumerate(hits[x['query']], 1):
            if rng.random() < 1/r and rng.random() < (.9 if j in right else .03): picked = ids[j]; break
        events.append(dict(query=x['query'], shown=shown, picked=picked, time=float(time), session=session, version='none'))
        return picked
    for k,x in enumerate(people):
        if search(x, x['ids'], f's{k}', 1000*k): continue
        others = [y for i in x['ids'] for y in by[i] if y is not x]
        if others and rng.random() < .5: search(rng.choice(others), x['ids'], f's{k}', 1000*k+30)
    return events

def fit(pairs, title, work):
    cfg = TrainSettings(max_pairs=0, evals=1, dims=[384])
    r = train(training_set(pairs, title), work/'model', work/'checkpoints', cfg, title=title)
    return load_model(str(work/'model')), r

def ranks(encode, corpus, vectors, queries):
    return corpus.rank(dense_scores(encode([x['query'] for x in queries], 'query'), vectors), queries)['strict']

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('names', nargs='+'); a.add_argument('--run', type=Path, default='runs/demo'); a.add_argument('--pairs', type=int, default=8000); a.add_argument('--titles', type=int, default=12_000, help='titles ranked: all answers, the others by chance; 0: the strict corpus')
    a.add_argument('--work', type=Path, default='runs/training_queries'); a.add_argument('--again', action='store_true')
    a = a.parse_args()
    pin_threads(2)
    rows = [r for r in read_jsonl(a.run/'catalog.jsonl') if r['encounter_extension'] == '0']
    everything = {r['id']: r['title'] for r in read_jsonl(a.run/'catalog.jsonl')}
    learnt, users, held, synthetic = dev_queries(a.run)
    answers = {i for x in users+held+synthetic for i in x['ids']}
    others = [r for r in rows if r['id'] not in answers]
    if a.titles: rows = [r for r in rows if r['id'] in answers] + random.Random(42).sample(others, max(0, min(len(others), a.titles-(len(rows)-len(others)))))
    corpus = Corpus(rows, json.loads((a.run/'families.json').read_text())['family'])
    ids = {}
    for r in rows: ids.setdefault(corpus.title_of[r['id']], r['id'])
    people = random.Random(1).sample(held+users, len(held+users))
    known, logged_titles = vocabulary(corpus.titles, (p['query'] for p in learnt)), {i for x in users for i in x['ids']}
    parts = {'human dev': people, 'synthetic dev': synthetic, 'synthetic dev, half typed': [y for x in synthetic if (y := cut(x))['query'] != x['query']], 'human dev, half typed': [y for x in people if (y := cut(x))['query'] != x['query']],
             'held-back human dev, titles of users': [x for x in held if set(x['ids']) & logged_titles], 'held-back human dev, other titles': [x for x in held if not set(x['ids']) & logged_titles]}
    slices = dict(shorthand=lambda q: is_shorthand(q, known), prefix=lambda q: is_prefix(q, known))
    found = json.loads(OUT.read_text()) if OUT.exists() and not a.again else {}
    if (found.get('pairs'), found.get('titles')) != (a.pairs, len(corpus.titles)): found = dict(pairs=a.pairs, titles=len(corpus.titles), runs={})
    a.work.mkdir(parents=True, exist_ok=True)
    pairs = random.Random(42).sample(learnt, a.pairs)
    for name in a.names:
        if name in found['runs']: continue
        if name != 'none' and not (a.work/'none.npz').exists(): raise SystemExit('run `none` first')
        log = {}
        if name == 'augment': use = augment(pairs, AugmentSettings(share=.3))
        elif name.startswith('log:'):
            base = np.load(a.work/'none.npz')
            encode = TorchEncoder(load_model(str(a.work/'none'/'model')), bf16=has_bf16()).encode
            events = simulate(users, base['vectors'], corpus, ids, encode, int(name[4:]))
            more, weak, _, log = learn_from(events, set(everything), LogSettings(held=0))
            right = {norm(x['query']): set(x['ids']) for x in users}
            same = lambda p: {corpus.title_of[i] for i in right.get(norm(p['query']), ()) if i in corpus.title_of}
            log |= dict(searches=len(events), right=sum(corpus.title_of[p['id']] in same(p) for p in more)/max(len(more), 1), weak=len(weak))
            use = pairs + [dict(query=p['query'], id=p['id']) for p in more]
        else: use = pairs
        work = a.work/name.replace(':', '_')
        shutil.rmtree(work, ignore_errors=True)
        model, r = fit(use, everything, work)
        encoder = TorchEncoder(model, bf16=has_bf16())
        vectors = encoder.encode(corpus.titles, 'title')
        got = {p: ranks(encoder.encode, corpus, vectors, q) for p,q in parts.items()}
        best = {p: np.array([x.min() for x in r_]) for p,r_ in got.items()}
        np.savez(a.work/f"{name.replace(':', '_')}.npz", vectors=vectors.astype(np.float16) if name != 'none' else vectors, **best)
        base = np.load(a.work/'none.npz')
        out = {}
        for p,q in parts.items():
            masks = {'all': [True]*len(q)} | {s: [f(x['query']) for x in q] for s,f in slices.items()}
            for s,m in masks.items():
                m = np.array(m)
                if m.sum() < 20: continue
                hit, was = query_metrics([best[p][i:i+1] for i in np.flatnonzero(m)]), query_metrics([base[p][i:i+1] for i in np.flatnonzero(m)])
                groups = [q[i]['ids'][0] for i in np.flatnonzero(m)]
                out[f'{p} | {s}'] = dict(queries=int(m.sum()), **{k: float(hit[k].mean()) for k in ('Recall@1','Recall@5','MRR')},
                                         gain={k: paired_bootstrap(was[k], hit[k], groups=groups) for k in ('Recall@5','MRR')})
        found['runs'][name] = dict(trained=len(use), pairs_per_second=round(r['pairs_per_second'], 1), log=log, parts=out)
        OUT.write_text(json.dumps(found, indent=1))
        print(name, len(use), {k: round(100*v['Recall@5'], 1) for k,v in out.items()}, log, flush=True)
