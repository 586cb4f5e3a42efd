"""Serve searches with sentence-transformers and Milvus Lite behind FastAPI, as `serve.py` compares.

    python benchmarks/naive.py RUN DATABASE PORT

This is the obvious first design: one model call and one database search per request. The collection is filled from
the index of RUN on the first start."""
import sys
from pathlib import Path

import numpy as np
import uvicorn
from fastapi import FastAPI
from pymilvus import MilvusClient
from sentence_transformers import SentenceTransformer

from embedding_search.data.records import read_jsonl

BLOCK = 5000 # Rows of one insert


def fill(database, run):
    "Insert all rows of a run with their title vectors."
    if database.has_collection('titles'): database.drop_collection('titles')
    rows = read_jsonl(run/'index'/'rows.jsonl')
    vectors = np.load(run/'index'/'vectors.npy').astype(np.float32)
    database.create_collection('titles', dimension=vectors.shape[1], metric_type='COSINE', auto_id=False)
    for start in range(0, len(rows), BLOCK):
        entities = []
        for number, row in enumerate(rows[start:start + BLOCK], start):
            vector = vectors[row['title_no']].tolist()
            entities.append(dict(id=number, vector=vector, code=row['id'], title=row['title']))
        database.insert('titles', entities)


def main(run, file, port):
    model = SentenceTransformer(str(run/'model'), device='cpu')
    database = MilvusClient(file)
    filled = run.parent/'naive.filled'
    if not filled.exists():
        fill(database, run)
        filled.touch()
    database.load_collection('titles')
    app = FastAPI()

    @app.get('/search')
    def search(q: str, k: int = 10):
        vector = model.encode(q, normalize_embeddings=True).tolist()
        return database.search('titles', [vector], limit=k, output_fields=['code', 'title'])[0]

    uvicorn.run(app, port=port, log_level='warning')


if __name__ == '__main__': main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
