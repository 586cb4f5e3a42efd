"""`HuggingFaceEndpointEmbeddings` with `client = InferenceClient(URL)`, because its constructor refuses URLs."""
import os
import sys

os.environ['HF_HUB_OFFLINE'] = '0' # It would also forbid requests to the service
from huggingface_hub import InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings

REQUIREMENTS = ['langchain-huggingface==1.2.3', 'huggingface_hub==1.33.0', 'numpy==2.4.6']
NEEDS = 'service'
TEXTS = ['capital of France', 'island in the Pacific']


def main(url):
    embeddings = HuggingFaceEndpointEmbeddings(huggingfacehub_api_token='none')
    embeddings.client = InferenceClient(url, token='none')
    vectors = embeddings.embed_documents(TEXTS)
    assert len(vectors) == 2
    query = embeddings.embed_query(TEXTS[0])
    assert max(abs(a - b) for a, b in zip(query, vectors[0], strict=True)) < 1e-6
    print(f'{len(vectors)} documents and a query, {len(query)} dimensions')


if __name__ == '__main__': main(sys.argv[1])
