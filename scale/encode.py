"""Encode a catalog of tens of millions of titles, and mine hard negatives for its training queries, with Ray Data.

    python scale/encode.py encode --titles titles.parquet --model runs/demo/model --out vectors/
    python scale/encode.py mine --vectors vectors/ --queries queries.parquet --model runs/demo/model --out candidates/

On one machine as it stands; on a cluster after `export RAY_ADDRESS=ray://head:10001`, with paths that all nodes see (s3://, gs://, a shared folder).
`titles.parquet` has `id` and `title`, `queries.parquet` has `query` and `id`; a folder of files will do for either."""
import argparse
import numpy as np

class Encode:
    "An actor that holds the exported model; one a core."
    def __init__(self, model, dim):
        from embedding_search.encode import pin_threads
        from embedding_search.static import TitleEncoder
        pin_threads(1); self.encoder = TitleEncoder.load(model, dim=dim)
    def __call__(self, batch): return batch | dict(vector=self.encoder.encode(list(batch['title']), 'title', batch=32).astype(np.float16))

def encode(titles, model, out, actors, dim=384, batch=1024):
    "Write `titles` with their vectors to Parquet, block by block; nothing holds the whole catalog."
    import ray
    ray.data.read_parquet(titles).select_columns(['id','title']).map_batches(Encode, fn_constructor_args=(model, dim), batch_size=batch, concurrency=(1, actors)).write_parquet(out)

def nearest(batch, queries, k):
    "The `k` best of this block of titles for each query."
    from embedding_search.encode import top_k
    s, i = top_k(queries, np.stack(batch['vector']).astype(np.float32), k)
    return dict(query=np.repeat(np.arange(len(queries)), s.shape[1]), id=batch['id'][i.ravel()], score=s.ravel().astype(np.float32))

def best(group, k, own, margin):
    "The `k` best over all blocks, without what answers the query itself or scores like it."
    import pandas as pd
    n = int(group['query'].iloc[0]); group = group.sort_values(['score','id'], ascending=[False,True])
    right = group[group['id'] == own[n]]['score']
    limit = right.iloc[0]-margin*abs(right.iloc[0]) if len(right) else np.inf
    found = group[(group['id'] != own[n]) & (group['score'] <= limit)].head(k)
    return pd.DataFrame(dict(query=[n], ids=[found['id'].tolist()], scores=[found['score'].tolist()]))

def mine(vectors, queries, model, out, dim=384, k=50, margin=.05, block=65536):
    "Write up to `k` hard negatives a query to Parquet. Queries go to every block, so a block of titles is read once."
    import ray
    from embedding_search.static import QueryEncoder
    q = ray.data.read_parquet(queries).to_pandas()
    v = ray.put(QueryEncoder.load(model, dim=dim).encode(q['query'].tolist(), 'query', batch=32)); own = q['id'].tolist()
    near = ray.data.read_parquet(vectors).map_batches(lambda b: nearest(b, ray.get(v), 2*k), batch_size=block)
    near.groupby('query').map_groups(lambda g: best(g, k, own, margin), batch_format='pandas').write_parquet(out)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', choices=['encode','mine'])
    for name in ('titles','vectors','queries'): p.add_argument(f'--{name}')
    p.add_argument('--model', required=True); p.add_argument('--out', required=True); p.add_argument('--actors', type=int, default=2); p.add_argument('--dim', type=int, default=384)
    a = p.parse_args()
    if a.what == 'encode': encode(a.titles, a.model, a.out, a.actors, a.dim)
    else: mine(a.vectors, a.queries, a.model, a.out, a.dim)
