"""Measure how many titles and queries a second we encode, against sentence-transformers with the same INT8 graph.

    python benchmarks/encode.py [RUN] [--texts 3000] [--rounds 3]        by default runs/demo

Both use two threads. Ours runs one batch on each core, of similar length and up to 1,024 tokens. The peer is
`SentenceTransformer(RUN/model, backend='onnx')` with its defaults: batches of 32 texts, sorted by length, and threads
within each operation. The encoders take turns, so that both see the same load. The ratio is the median of the rounds.
Texts are a sample of titles, the shortest and the longest quarter of it, and a sample of queries. Writes
`results/encode.json`; `--out FILE` writes elsewhere."""
import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
from traces import RESULTS, load_average, trace, write_json

from embedding_search.core import pin_threads
from embedding_search.data.records import read_jsonl
from embedding_search.evaluation.report import markdown_table
from embedding_search.model.encoders import OnnxEncoder
from embedding_search.search.searcher import distinct_titles

MEASURES = ('embedding_search/model/encoders.py',)
THREADS = 2
SEED = 42


class Peer:
    "Encode with sentence-transformers on its ONNX backend."
    def __init__(self, model):
        import onnxruntime
        from sentence_transformers import SentenceTransformer
        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = THREADS
        options = dict(file_name='onnx/model_quantized.onnx', provider='CPUExecutionProvider', session_options=session)
        self.model = SentenceTransformer(str(model), backend='onnx', device='cpu', model_kwargs=options)

    def encode(self, texts, kind):
        name = 'query' if kind == 'query' else 'document'
        prompt = self.model.prompts.get(name) or None
        return self.model.encode(texts, prompt=prompt, normalize_embeddings=True, show_progress_bar=False)


def choose_texts(run, n):
    "Sample titles and queries of a run. Return kind of text to texts; short and long are a quarter of the titles."
    rng = random.Random(SEED)
    titles, _ = distinct_titles(read_jsonl(run/'catalog.jsonl'))
    titles = rng.sample(titles, min(n, len(titles)))
    by_length = sorted(titles, key=len)
    quarter = len(titles) // 4
    queries = [row['query'] for row in read_jsonl(run/'queries.jsonl')]
    texts = {'titles': titles, 'short titles': by_length[:quarter], 'long titles': by_length[-quarter:]}
    for kind in ('short titles', 'long titles'): rng.shuffle(texts[kind])
    return texts | {'queries': rng.sample(queries, min(n, len(queries)))}


def seconds_of(encoder, texts, kind):
    "Return the seconds that an encoder takes."
    begin = time.perf_counter()
    encoder.encode(texts, kind)
    return time.perf_counter() - begin


def compare(ours, peer, texts, kind, rounds):
    "Encode the same texts with both encoders in turn; every other round starts with the peer."
    for encoder in (ours, peer): encoder.encode(texts[:64], kind)
    seconds = []
    for number in range(rounds):
        order = [('ours', ours), ('peer', peer)]
        if number % 2: order.reverse()
        seconds.append({name: seconds_of(encoder, texts, kind) for name, encoder in order})
    cosines = (ours.encode(texts[:200], kind) * peer.encode(texts[:200], kind)).sum(1)
    ratios = [taken['peer'] / taken['ours'] for taken in seconds]
    def rate(name): return round(len(texts) / statistics.median(taken[name] for taken in seconds))
    return dict(
        times_faster=round(statistics.median(ratios), 2),
        times_faster_of_rounds=[round(ratio, 2) for ratio in ratios],
        ours=rate('ours'),
        sentence_transformers=rate('peer'),
        texts=len(texts),
        mean_tokens=round(float(np.mean([len(text.ids) for text in ours.tokenizer.encode_batch(texts)])), 1),
        mean_cosine=round(float(cosines.mean()), 4),
        load=load_average(),
    )


def measure(run, n, rounds):
    "Compare both encoders on all kinds of texts."
    ours = OnnxEncoder.load(run/'model', threads=THREADS)
    peer = Peer(run/'model')
    kinds = {}
    for name, texts in choose_texts(run, n).items():
        kinds[name] = compare(ours, peer, texts, 'query' if name == 'queries' else 'title', rounds)
        print(name, json.dumps(kinds[name]), flush=True)
    return dict(kinds=kinds, threads=THREADS, rounds=rounds, run=run.name)


def table_row(name, row):
    "Format the comparison of one kind of texts."
    return {
        'texts': f"{name} ({row['texts']:,}, {row['mean_tokens']:g} tokens)",
        'times as fast': f"{row['times_faster']:g}",
        'ours, a second': f"{row['ours']:,}",
        'sentence-transformers, a second': f"{row['sentence_transformers']:,}",
        'mean cosine of both': row['mean_cosine'],
        'load': row['load'],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('run', nargs='?', type=Path, default='runs/demo')
    parser.add_argument('--texts', type=int, default=3000, help='titles, and queries, of a round [3000]')
    parser.add_argument('--rounds', type=int, default=3, help='rounds; the median counts [3]')
    parser.add_argument('--out', type=Path, default=RESULTS/'encode.json')
    args = parser.parse_args()
    pin_threads(THREADS)
    result = measure(args.run, args.texts, args.rounds)
    write_json(args.out, result | dict(trace=trace(MEASURES)))
    print(markdown_table([table_row(name, row) for name, row in result['kinds'].items()]))


if __name__ == '__main__': main()
