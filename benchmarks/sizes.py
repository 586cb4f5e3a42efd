"""What smaller downloads cost in what they find: `python benchmarks/sizes.py --run runs/full`. Judged on dev queries, never on test.

From words alone to full precision, each as a page of its own in a real Chromium. Models of fewer layers are taught to read queries as the run's own model does (mean squared error of the vectors, on queries and some titles that may be trained on), so that the index stays as it is; models with fewer or coarser word pieces are indexed anew.
Writes `benchmarks/results/sizes.json`; finished rows are not repeated (`--again`; `--latency` measures time and sizes of all rows once more, in one go)."""
import argparse, json, os, random, shutil, time
from pathlib import Path
import numpy as np
from embedding_search.catalog import read_jsonl
from embedding_search.config import TrainSettings
from embedding_search.encode import Encoder, TorchEncoder, cached_vectors, load_model, pin_threads, read_beside, sha256, write_beside
from embedding_search.evaluate import Corpus, dense_scores, headers, keyword_scores, strict_rows
from embedding_search.export import export, keep_pieces, write_hashes
from embedding_search.guard import answer_ranks, read_probe
from embedding_search.keyword import Keywords
from embedding_search.metrics import best, is_shorthand, paired_bootstrap, vocabulary
from embedding_search.search import build_index, distinct_titles
from embedding_search.site import build_site
from embedding_search.static import BESIDE, QueryEncoder, TitleEncoder, lessons
from embedding_search.train import train
from tab import BACK, EL, opened

OUT = Path(__file__).parent/'results'/'sizes.json'
KEPT = {4: (0, 2, 3, 5), 3: (0, 3, 5)}
VARIANTS = {'as it ships': {}, 'coarse pieces': dict(step=.5), 'coarser pieces': dict(step=1), 'used pieces': dict(used=True), 'small': dict(used=True, step=.5), '4 layers': dict(layers=4), '3 layers': dict(layers=3), '4 layers, small': dict(layers=4, used=True, step=.5),
            'full precision': dict(whole=True), 'static': dict(tiers=('static',)), 'keywords': dict(tiers=())}

class Lab:
    "What all rows share."
    def __init__(self, run, work):
        self.run, self.work, self.rows, split = run, work, read_jsonl(run/'catalog.jsonl'), json.loads((run/'split.json').read_text())
        self.fam, strict = json.loads((run/'families.json').read_text())['family'], strict_rows(self.rows, 'encounter_extension=0')
        self.corpus, self.below, (self.names, where) = Corpus(strict, self.fam), headers(strict), distinct_titles(self.rows)
        self.no = {r['id']: int(n) for r,n in zip(self.rows, where)}
        self.dev = {k: [x for x in split[p] if x['part'] == 'dev'] for k,p in (('unseen titles','unseen'), ('human','judged'))}
        pairs, held = read_jsonl(run/'groups.jsonl'), {self.fam[i] for x in split['unseen'] for i in x['ids']}
        self.asked, self.words = [p['query'] for p in pairs], vocabulary([r['title'] for r in self.rows], (p['query'] for p in split['train']))
        texts = lessons([dict(r, family=self.fam[r['id']], title_no=self.no[r['id']]) for r in self.rows], pairs, held)[0]; titles = texts[len(pairs):]
        self.texts = texts[:len(pairs)] + random.Random(42).sample(titles, min(25_000, len(titles)))
        self.probe, self.everyday = read_probe('data/everyday/probe.csv')

def student(lab, layers):
    "The run's model with fewer layers, taught to read as the whole one does; and the seconds it took."
    import torch
    from datasets import Dataset
    from sentence_transformers.sentence_transformer.losses import MSELoss
    from sentence_transformers.training_args import BatchSamplers
    out = lab.work/f'student-{layers}'; took = out/'seconds.json'
    if took.exists(): return out/'model', json.loads(took.read_text())
    teacher = load_model(str(lab.run/'model')); start = time.time()
    wanted = cached_vectors(TorchEncoder(teacher), lab.texts, 'query', lab.work/'teacher', sha256(lab.run/'model'/'model.safetensors'))
    inner = teacher[0].auto_model; inner.encoder.layer = torch.nn.ModuleList([inner.encoder.layer[i] for i in KEPT[layers]]); inner.config.num_hidden_layers = layers
    teacher.save_pretrained(str(out/'first'), safe_serialization=True)
    data = Dataset.from_dict(dict(anchor=lab.texts, label=wanted.tolist())).shuffle(seed=42)
    train(data, out/'model', out/'checkpoints', TrainSettings(base=str(out/'first'), learning_rate=3e-4, evals=1), progress=True, loss=MSELoss, sampler=BatchSamplers.BATCH_SAMPLER)
    for f in ('first','checkpoints'): shutil.rmtree(out/f)
    took.write_text(json.dumps(round(time.time()-start)))
    return out/'model', round(time.time()-start)

def variant(lab, name, layers=6, used=False, step=0, whole=False, tiers=None, anew=True):
    "A run folder that ships the variant, and what it took to teach; `anew`: its titles are encoded with it."
    folder, model, took = lab.work/name.replace(', ', '-').replace(' ', '-'), lab.run/'model', 0
    shutil.rmtree(folder, ignore_errors=True)
    if layers < 6: model, took = student(lab, layers)
    if layers == 6 and not used and not step: shutil.copytree(lab.run/'model', folder/'model')
    else:
        shutil.copytree(model, folder/'model', ignore=shutil.ignore_patterns('onnx'))
        if used: keep_pieces(folder/'model', [*(r['title'] for r in lab.rows), *lab.asked])
        export(folder/'model', step)
        for n in BESIDE:
            if f := read_beside(lab.run/'model', n): write_beside(folder/'model', n, **f)
    onnx = folder/'model'/'onnx'
    if whole:
        listed = json.loads((onnx/'sha256.json').read_text()); shutil.copy(onnx/'model.onnx', onnx/'model_quantized.onnx')
        (onnx/'sha256.json').write_text(json.dumps(listed | write_hashes(folder/'model')))
    graph, v = json.loads((onnx/'sha256.json').read_text())['model_quantized.onnx'], np.load(lab.run/'index'/'vectors.npy').astype(np.float32)
    if anew and layers == 6 and (used or step): v = TitleEncoder.load(folder/'model', threads=2).encode(lab.names, 'title', progress=True)
    for f in ('catalog.jsonl','families.json'): shutil.copy(lab.run/f, folder/f)
    build_index(lab.rows, lab.fam, None, folder/'index', graph, vectors=v)
    return folder, v, took

def in_tab(folder, queries, tiers):
    "Median milliseconds from a query to its results in the page, MB of a first visit by the files' sizes, the best tier that started with how many of the entries expected for its golden queries, as found in Python, it finds, and the machine's load."
    m, site = build_site(folder, log=lambda *a: None), folder/'site'
    if tiers is not None: m['encoders'] = [e for e in m['encoders'] if e['name'] in tiers]; (site/'site.json').write_text(json.dumps(m))
    with opened(site) as page:
        page.evaluate(BACK, queries[:40]); rounds = [page.evaluate(BACK, queries[:150]) for _ in range(3)]; tier = page.evaluate(f'[{EL}.status.tier, {EL}.status.selfTest]')
    needed = {'catalog', *(['vectors'] if m['encoders'] else []), *(f for e in m['encoders'] for f in e['files'].values())}
    mb = {f: sum(x['size'] for x in m['files'][f]['parts'])/1e6 for f in sorted(needed)} | dict(page=sum(f.stat().st_size for f in (*site.glob('*.*'), *(site/'assets').rglob('*.*')) if f.is_file())/1e6)
    return dict(tab_ms=round(float(np.median([t for r in rounds for t,_ in r])), 2), mb={k: round(v, 2) for k,v in mb.items()}, tier=tier, first_visit_mb=round(sum(mb.values()), 2), load=round(os.getloadavg()[0], 2))

def row(lab, name, was):
    "Train, export, index, judge and open one variant."
    how = VARIANTS[name]; folder, v, took = variant(lab, name, **how); tiers = how.get('tiers')
    e, c = QueryEncoder.load(folder/'model', threads=2), v[[lab.no[r['id']] for r in lab.corpus.entry]]
    words = Keywords(lab.corpus.titles) if tiers == () else None
    def ranked(encode, q): return best(lab.corpus.rank(keyword_scores(words, q) if words else dense_scores(encode([x['query'] for x in q], 'query'), c), q, lab.below)['strict'])
    ways = {'shipped': e.static.encode if tiers else e.encode} | ({} if tiers is not None else {'transformer alone': lambda t, k: Encoder.encode(e, t, k)})
    parts = {p: {} for p in lab.dev}
    for p,qs in lab.dev.items():
        short, groups = np.array([is_shorthand(x['query'], lab.words) for x in qs]), [x['ids'][0] for x in qs]
        for way,encode in ways.items():
            hit = (ranked(encode, qs) <= 5).astype(float); first = was.setdefault((p, way), hit)
            parts[p][way] = {'Recall@5': float(hit.mean()), 'shorthand': float(hit[short].mean()), 'change': paired_bootstrap(first, hit, groups=groups), 'queries': len(qs)}
    out = dict(taught_s=took, parts=parts) | in_tab(folder, [x['query'] for x in lab.dev['human']], tiers)
    if tiers != (): out['probe'] = float((answer_ranks(type('E', (), dict(encode=lambda self, t, k: e.static.encode(t) if tiers and k == 'query' else e.encode(t, k)))(), dict(probe=lab.probe), lab.everyday)['probe'] <= 5).mean())
    shutil.rmtree(folder)
    return out

def latency(lab, out):
    "Time and sizes of all variants once more, one after the other, on a machine that should be quiet; nothing is judged."
    for name,x in out.items():
        how = VARIANTS[name]; folder = variant(lab, name, anew=False, **how)[0]
        x |= in_tab(folder, [x['query'] for x in lab.dev['human']], how.get('tiers')); shutil.rmtree(folder)
        OUT.write_text(json.dumps(out, indent=1)+'\n'); print(name, {k: v for k,v in x.items() if k != 'parts'}, flush=True)

def main(run, work, names, again, times):
    lab, out, was = Lab(run, work), json.loads(OUT.read_text()) if OUT.exists() and not again else {}, {}
    if times: return latency(lab, out)
    for name in names or VARIANTS:
        if name in out and name != 'as it ships': continue
        out[name] = row(lab, name, was); OUT.write_text(json.dumps(out, indent=1)+'\n')
        print(name, {p: {w: (round(100*y['Recall@5'], 1), [round(100*z, 1) for z in y['change']]) for w,y in x.items()} for p,x in out[name]['parts'].items()}, {k: v for k,v in out[name].items() if k != 'parts'}, flush=True)

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('names', nargs='*', help='some of: '+', '.join(VARIANTS)); a.add_argument('--run', type=Path, default='runs/full'); a.add_argument('--work', type=Path, default='runs/sizes'); a.add_argument('--again', action='store_true'); a.add_argument('--latency', action='store_true', help='only measure time and sizes once more'); a = a.parse_args()
    pin_threads(2); a.work.mkdir(parents=True, exist_ok=True); main(a.run, a.work, a.names, a.again, a.latency)
