"""What smaller models cost in what they find: `python benchmarks/sizes.py --run runs/full`. Judged on dev queries, never on test.

The model of a finished run is exported once as it is and once with only the word pieces that catalog and training queries use; titles are moved and queries joined by the run's own shift and static encoder. Writes `benchmarks/results/sizes.json`."""
import argparse, gzip, json, shutil
from pathlib import Path
import numpy as np
from embedding_search.catalog import read_jsonl
from embedding_search.encode import Encoder, pin_threads
from embedding_search.evaluate import Corpus, dense_scores, headers, strict_rows
from embedding_search.export import export, keep_pieces
from embedding_search.guard import answer_ranks, read_probe
from embedding_search.metrics import best, is_shorthand, paired_bootstrap, vocabulary
from embedding_search.shift import Shift
from embedding_search.static import StaticEncoder

OUT = Path(__file__).parent/'results'/'sizes.json'

def packed(*files): return round(sum(len(gzip.compress(f.read_bytes(), 9)) for f in files)/1e6, 2)

def main(run, work):
    rows, split, fam = read_jsonl(run/'catalog.jsonl'), json.loads((run/'split.json').read_text()), json.loads((run/'families.json').read_text())['family']
    strict = strict_rows(rows, 'encounter_extension=0'); corpus, below = Corpus(strict, fam), headers(strict)
    dev = {k: [x for x in split[p] if x['part'] == 'dev'] for k,p in (('unseen titles','unseen'), ('human','judged'))}
    asked = [p['query'] for p in read_jsonl(run/'groups.jsonl')]; titles = [r['title'] for r in rows]
    words = vocabulary(titles, (p['query'] for p in split['train'])); rule, table = Shift.load(run/'model'), StaticEncoder.load(run/'model')
    (probe, everyday), out, was = read_probe('data/everyday/probe.csv'), {}, {}
    for name in ('all','used'):
        model = work/name; shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(run/'model', model, ignore=shutil.ignore_patterns('onnx'))
        pieces = keep_pieces(model, [*titles, *asked]) if name == 'used' else {}
        mb = export(model); e = Encoder.load(model, threads=2)
        c = rule.move(e.encode(corpus.titles, 'title', progress=True))
        r = out[f'{name} pieces'] = dict(pieces, int8_mb=mb['model_quantized.onnx'], served_mb=packed(model/'onnx'/'model_quantized.onnx', model/'tokenizer.json'), parts={})
        for p,q in dev.items():
            texts = [x['query'] for x in q]; v = e.encode(texts, 'query'); short = np.array([is_shorthand(t, words) for t in texts])
            r['parts'][p] = {}
            for how,u in (('INT8', v), ('shipped', table.join(v, texts))):
                hit = (best(corpus.rank(dense_scores(u, c), q, below)['strict']) <= 5).astype(float); first = was.setdefault((p, how), hit)
                r['parts'][p][how] = {'Recall@5': float(hit.mean()), 'shorthand': float(hit[short].mean()), 'change': paired_bootstrap(first, hit, groups=[x['ids'][0] for x in q]), 'queries': len(q)}
        r['probe'] = float((answer_ranks(e, dict(probe=probe), everyday)['probe'] <= 5).mean())
        print(name, r, flush=True)
    OUT.write_text(json.dumps(out, indent=1)+'\n')

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--run', type=Path, default='runs/full'); a.add_argument('--work', type=Path, default='runs/sizes'); a = a.parse_args()
    pin_threads(2); a.work.mkdir(parents=True, exist_ok=True); main(a.run, a.work)
