"What one would write first: sentence-transformers and a vector database behind FastAPI. `naive.py RUN FOLDER PORT`."
import sys
import numpy as np
from pathlib import Path
from fastapi import FastAPI
from pymilvus import MilvusClient
from sentence_transformers import SentenceTransformer
from embedding_search.catalog import read_jsonl

run, folder, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
model, db, app = SentenceTransformer(str(run/'model'), device='cpu'), MilvusClient(folder), FastAPI()
if not (run.parent/'naive.filled').exists():
    if db.has_collection('titles'): db.drop_collection('titles')
    rows, v = read_jsonl(run/'index'/'rows.jsonl'), np.load(run/'index'/'vectors.npy').astype(np.float32)
    db.create_collection('titles', dimension=v.shape[1], metric_type='COSINE', auto_id=False)
    for i in range(0, len(rows), 5000): db.insert('titles', [dict(id=i+j, vector=v[r['title_no']].tolist(), code=r['id'], title=r['title']) for j,r in enumerate(rows[i:i+5000])])
    (run.parent/'naive.filled').touch()
db.load_collection('titles')

@app.get('/search')
def search(q:str, k:int=10): return db.search('titles', [model.encode(q, normalize_embeddings=True).tolist()], limit=k, output_fields=['code','title'])[0]

if __name__ == '__main__':
    import uvicorn
    uvicorn.run(app, port=port, log_level='warning')
