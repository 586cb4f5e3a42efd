"""Encode a catalog of tens of millions of titles and mine hard negatives for its training queries, with Ray Data.

    python scale/encode.py encode --titles titles.parquet --model runs/demo/model --out vectors/
    python scale/encode.py mine --vectors vectors/ --queries queries.parquet --model runs/demo/model --out candidates/

It runs on one machine as it is. On a cluster, `export RAY_ADDRESS=ray://head:10001` first and use paths that all nodes
see (s3://, gs://, a shared folder). `titles.parquet` has the columns `id` and `title`, `queries.parquet` has `query`
and `id`; either may be a folder of files."""
import argparse

import numpy as np


class Encode:
    "An actor that holds the exported model; one for each core."
    def __init__(self, model, dim):
        from embedding_search.core import pin_threads
        from embedding_search.model.search_encoders import TitleEncoder
        pin_threads(1)
        self.encoder = TitleEncoder.load(model, dim=dim)

    def __call__(self, batch):
        vectors = self.encoder.encode(list(batch['title']), 'title', batch=32)
        return batch | dict(vector=vectors.astype(np.float16))


def encode(titles, model, out, actors, dim=384, batch=1024):
    "Write titles with their vectors to Parquet, block by block; no process holds the whole catalog."
    import ray
    rows = ray.data.read_parquet(titles).select_columns(['id', 'title'])
    encoded = rows.map_batches(Encode, fn_constructor_args=(model, dim), batch_size=batch, concurrency=(1, actors))
    encoded.write_parquet(out)


def nearest_titles(batch, queries, k):
    "Find the `k` best of a block of titles for each query."
    from embedding_search.model.encoders import top_k
    vectors = np.stack(batch['vector']).astype(np.float32)
    scores, rows = top_k(queries, vectors, k)
    numbers = np.repeat(np.arange(len(queries)), scores.shape[1])
    return dict(query=numbers, id=batch['id'][rows.ravel()], score=scores.ravel().astype(np.float32))


def select_negatives(group, k, answers, margin):
    "Keep the `k` best over all blocks, without the answer and without what scores almost as high."
    import pandas as pd
    query = int(group['query'].iloc[0])
    group = group.sort_values(['score', 'id'], ascending=[False, True])
    is_answer = group['id'] == answers[query]
    limit = np.inf
    if is_answer.any():
        score = group[is_answer]['score'].iloc[0]
        limit = score - margin * abs(score)
    kept = group[~is_answer & (group['score'] <= limit)].head(k)
    return pd.DataFrame(dict(query=[query], ids=[kept['id'].tolist()], scores=[kept['score'].tolist()]))


def mine(vectors, queries, model, out, dim=384, k=50, margin=.05, block=65536):
    "Write up to `k` hard negatives per query to Parquet. Queries go to every block, so each block is read once."
    import ray

    from embedding_search.model.search_encoders import QueryEncoder
    pairs = ray.data.read_parquet(queries).to_pandas()
    query_vectors = QueryEncoder.load(model, dim=dim).encode(pairs['query'].tolist(), 'query', batch=32)
    shared = ray.put(query_vectors)
    answers = pairs['id'].tolist()

    def search_block(batch): return nearest_titles(batch, ray.get(shared), 2 * k)
    def select(group): return select_negatives(group, k, answers, margin)

    found = ray.data.read_parquet(vectors).map_batches(search_block, batch_size=block)
    found.groupby('query').map_groups(select, batch_format='pandas').write_parquet(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('action', choices=['encode', 'mine'])
    parser.add_argument('--titles', help='encode: Parquet with id and title')
    parser.add_argument('--vectors', help='mine: what encode wrote')
    parser.add_argument('--queries', help='mine: Parquet with query and id')
    parser.add_argument('--model', required=True, help='exported model')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument('--actors', type=int, default=2, help='encode: processes')
    parser.add_argument('--dim', type=int, default=384, help='dimensions to keep')
    args = parser.parse_args()
    if args.action == 'encode': encode(args.titles, args.model, args.out, args.actors, args.dim)
    else: mine(args.vectors, args.queries, args.model, args.out, args.dim)


if __name__ == '__main__': main()
