"""Cost of each step by catalog size, as far as one machine goes: encoding, exact scan, keywords, Milvus Lite, Ray Data.

    python benchmarks/scale.py [RUN]

Scans are measured at each size; encoding is measured on a sample of titles."""
import shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np
from embedding_search.encode import pin_threads
pin_threads(1)
from embedding_search.catalog import read_jsonl
from embedding_search.encode import Encoder, truncate
from embedding_search.keyword import Keywords
from embedding_search.milvus import MilvusStore
from embedding_search.store import scan_index
from load import machine, write
import faiss
faiss.omp_set_num_threads(1)

run, rng, scratch = Path((sys.argv[1:] or ['runs/demo'])[0]), np.random.default_rng(0), Path(tempfile.mkdtemp())
rows, encoder = read_jsonl(run/'catalog.jsonl'), Encoder.load(run/'model')
titles = [rows[i]['title'] for i in rng.permutation(len(rows))]

def once(f): t = time.perf_counter(); x = f(); return x, time.perf_counter()-t
def ms(f, n=30): return round(1000*statistics.median(once(lambda: f(i))[1] for i in range(n)), 3)

encoded, took = once(lambda: encoder.encode(titles[:2000], batch=1))
result = dict(machine=machine(), dim=384, encode_titles_per_second_one_core=round(2000/took, 1), encode_query_ms=ms(lambda i: encoder.encode([titles[i]], 'query'), 200), sizes={})
queries = np.round(rng.normal(size=(30, 384))*40).clip(-127, 127).astype(np.float32)
for n in (10_000, 100_000, 1_000_000):
    codes = rng.integers(-127, 128, (n, 384), dtype=np.int8)
    index, build = once(lambda: scan_index(codes))
    words = [titles[i % len(titles)] for i in range(n)]
    keys, k_build = once(lambda: Keywords(words)) if n <= 100_000 else (None, None)
    result['sizes'][n] = dict(scan_ms=ms(lambda i: index.search(queries[i:i+1], 300)), scan_mb=round(n*384/1e6, 1), **(dict(keyword_build_s=round(k_build, 2), keyword_ms=ms(lambda i: keys.scores(words[i]))) if keys else {}))
m = MilvusStore(str(scratch/'m.db'), run/'model'); some = rows[:20_000]
vectors = truncate(rng.normal(size=(20_000, 384)).astype(np.float32), 384)
v, took = once(lambda: m.build(some, {r['id']: r['id'] for r in some}, vectors)); s = m.searcher(v['name']); s.search('warm up', mode='dense')
result['milvus_lite'] = dict(rows=20_000, insert_rows_per_second=round(20_000/took, 1), dense_ms=ms(lambda i: s.search(titles[i], mode='dense', vector=vectors[i])), hybrid_ms=ms(lambda i: s.search(titles[i], vector=vectors[i])))
import pandas as pd
(scratch/'t').mkdir()
for i in range(4): pd.DataFrame(dict(id=[str(j) for j in range(i, 4000, 4)], title=titles[i:4000:4])).to_parquet(scratch/'t'/f'{i}.parquet')
_, took = once(lambda: subprocess.run([sys.executable, Path(__file__).parent.parent/'scale'/'encode.py', 'encode', '--titles', scratch/'t', '--out', scratch/'v', '--model', run/'model'], check=True, capture_output=True))
result['ray_local'] = dict(titles=4000, seconds_with_start=round(took, 1))
shutil.rmtree(scratch)
write('scale', result)
