"""An update of 1% of the catalog beside a rebuild, and the bridge after a change of the model.

    python benchmarks/incremental.py [RUN] [STORE]

The update starts from the active version of STORE (`benchmarks/serve.py` makes one); it is built three times, each from the same state. The rebuild encodes every title."""
import json, os, shutil, statistics, sys, tempfile, time
from pathlib import Path
import numpy as np
from embedding_search.catalog import read_jsonl
from embedding_search.encode import pin_threads
pin_threads(2)
from embedding_search.store import Store, recall
from load import machine, write

run, folder = Path((sys.argv[1:] or ['runs/demo'])[0]), Path((sys.argv[2:] or ['runs/store'])[0])
rows, fam = read_jsonl(run/'catalog.jsonl'), json.loads((run/'families.json').read_text())['family']
dim, rng, scratch = Store(folder).find()['counts']['dim'], np.random.default_rng(0), Path(tempfile.mkdtemp(dir=folder.parent))

def changed(share=.01):
    "The catalog with `share` of its rows touched: a third each added, reworded, removed."
    n = round(len(rows)*share/3); pick = rng.permutation(len(rows))[:2*n]
    reword, remove = set(pick[:n].tolist()), set(pick[n:].tolist())
    new = [dict(r, title=r['title']+', revised') if i in reword else r for i,r in enumerate(rows) if i not in remove]
    return new + [dict(rows[i], id=f'new-{i}', title='Provisional: '+rows[i]['title']) for i in rng.permutation(len(rows))[:n].tolist()], n

def timed(f):
    start, cpu = time.perf_counter(), time.process_time()
    return f(), time.perf_counter()-start, time.process_time()-cpu

new, n = changed(); family = fam | {r['id']: r['id'] for r in new if r['id'] not in fam}
updates = []
for i in range(3):
    st = Store(shutil.copytree(folder, scratch/f's{i}', copy_function=os.link))
    v, *t = timed(lambda: st.build(new, family, run/'model', dim)); updates.append(t)
full, *rebuild = timed(lambda: st.build(new, family, run/'model', dim, full=True))
wall, cpu = (statistics.median(x) for x in zip(*updates))

# the bridge, on every eighth entry: base model's vectors mapped to the tuned model's, and what re-encoding gives
from embedding_search.encode import load_model
from embedding_search.export import export
load_model().save_pretrained(str(scratch/'base')); export(scratch/'base')
some = rows[::8]; ids = {r['id'] for r in some}
golden = [dict(query=j['query'], ids=[j['id']]) for j in read_jsonl(run/'judged.jsonl') if j['id'] in ids][:1000]
st = Store(scratch/'bridge', create=True)
old = st.build(some, fam, scratch/'base', dim); st.activate('1')
bridge, b_wall, _ = timed(lambda: st.bridge(run/'model', dim, sample=4000)); re, r_wall, _ = timed(lambda: st.build(some, fam, run/'model', dim))
found = {k: round(float(np.nanmean(recall(st.searcher(v['name']), golden))), 4) for k,v in (('old model', old), ('new model over the bridge', bridge), ('new model, all encoded anew', re))}

result = dict(times_cheaper=round(rebuild[0]/wall, 1), times_cheaper_cpu=round(rebuild[1]/cpu, 1), machine=machine(), rows=len(new), update=dict(seconds=round(wall, 2), cpu_seconds=round(cpu, 2), encoded=v['encoded'], changes=v['changes']),
              rebuild=dict(seconds=round(rebuild[0], 2), cpu_seconds=round(rebuild[1], 2), encoded=full['encoded']), same_files_bit_for_bit=v['files'] == full['files'],
              bridge=dict(titles=bridge['counts']['titles'], sample=bridge['bridge']['sample'], cosine=bridge['bridge']['cosine'], queries=len(golden), recall_at_5=found, seconds=round(b_wall, 2), encoding_all_seconds=round(r_wall, 2)))
shutil.rmtree(scratch)
write('incremental', result)
