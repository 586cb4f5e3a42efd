"""Search with sentence-transformers and Chroma, a vector database in the same process.

    python torch_chroma.py                      fills the collection and builds its index
    uvicorn --factory torch_chroma:app

We chose Chroma because it answered in half the time of LanceDB at the same recall of an exact search (0.995), and the
local mode of Qdrant's client is meant for tests. The graph is wider than by default."""
import chromadb
import torch
from sentence_transformers import SentenceTransformer
from shared import FOLDER, THREADS, make_app, read_rows, read_vectors

GRAPH = dict(space='ip', max_neighbors=32, ef_construction=100, ef_search=100)
BLOCK = 5000 # Rows of one call


def open_database():
    "Open the database in the peer's folder."
    settings = chromadb.Settings(anonymized_telemetry=False)
    return chromadb.PersistentClient(str(FOLDER/'chroma'), settings=settings)


def build():
    "Fill the collection."
    configuration = dict(hnsw=GRAPH)
    titles = open_database().create_collection('titles', configuration=configuration, embedding_function=None)
    rows = read_rows()
    vectors = read_vectors()
    for start in range(0, len(rows), BLOCK):
        some = rows[start:start + BLOCK]
        titles.add([row['id'] for row in some], vectors[start:start + BLOCK], documents=[row['title'] for row in some])


def app():
    "Make the application."
    torch.set_num_threads(THREADS)
    model = SentenceTransformer(str(FOLDER/'model'), device='cpu', model_kwargs=dict(use_safetensors=True))
    titles = open_database().get_collection('titles', embedding_function=None)

    def search(query, k):
        vector = model.encode([query], normalize_embeddings=True, show_progress_bar=False)
        found = titles.query(query_embeddings=vector, n_results=k, include=['documents', 'distances'])
        rows = zip(found['ids'][0], found['documents'][0], found['distances'][0], strict=True)
        return [(dict(id=id, title=title), 1 - distance) for id, title, distance in rows]

    return make_app(search)


if __name__ == '__main__': build()
