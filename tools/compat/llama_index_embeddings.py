"""`TextEmbeddingsInference(base_url=URL)` and `OpenAILikeEmbedding(api_base=URL/v1)`: texts and queries."""
import asyncio
import sys

from llama_index.core import Document, VectorStoreIndex
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

REQUIREMENTS = ['llama-index-embeddings-text-embeddings-inference==0.6.0', 'llama-index-embeddings-openai-like==0.4.0']
NEEDS = 'service'
TEXTS = ['capital of France', 'island in the Pacific']


def main(url):
    clients = [
        TextEmbeddingsInference(model_name='embedding-search', base_url=url),
        OpenAILikeEmbedding(model_name='embedding-search', api_base=f'{url}/v1', api_key='none', embed_batch_size=32),
    ]
    batches = [client.get_text_embedding_batch(TEXTS) for client in clients]
    for one, other in zip(*batches, strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-6
    assert asyncio.run(clients[0].aget_query_embedding(TEXTS[0])) == batches[0][0]
    for client in clients:
        index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], embed_model=client)
        found = index.as_retriever(similarity_top_k=1).retrieve('main city of france')
        assert found[0].get_content() == TEXTS[0]
    print(f'both give the same vectors ({len(batches[0][0])} dimensions); an index over them answers')


if __name__ == '__main__': main(sys.argv[1])
