"""What the peers share: files, settings, and the web application around a search function."""
import json
import os
from pathlib import Path

import numpy as np
from fastapi import FastAPI

FOLDER = Path(os.environ['PEER_FOLDER']) # With `rows.jsonl`, `vectors.npy` and the base model in `model`
THREADS = int(os.environ.get('PEER_THREADS', '1'))


def read_rows():
    "Read the rows of the catalog: `id` and `title`."
    with open(FOLDER/'rows.jsonl') as lines: return [json.loads(line) for line in lines]


def read_vectors():
    "Read the unit vectors of the rows, memory-mapped: float32 `(rows, dim)`."
    return np.load(FOLDER/'vectors.npy', mmap_mode='r')


def make_app(search):
    "Serve a function from a query and a number of hits to rows with scores."
    app = FastAPI()

    @app.get('/search')
    async def answer(q: str, k: int = 10): # Not in a thread: a process answers one request at a time
        hits = [dict(id=row['id'], title=row['title'], score=float(score)) for row, score in search(q, k)]
        return dict(hits=hits)

    return app
