"""`OpenAI(base_url=URL/v1)`: `models.list()` and `embeddings.create(...)` as base64, floats and token ids."""
import sys

from openai import NotFoundError, OpenAI

REQUIREMENTS = ['openai==3.57.0']
NEEDS = 'service'
TEXTS = ['capital of France', 'island in the Pacific']
TOKENS = [66163, 315, 9822] # `capital of France` in cl100k_base


def main(url):
    client = OpenAI(base_url=f'{url}/v1', api_key='none', max_retries=0)
    [model] = client.models.list().data
    answer = client.embeddings.create(model=model.id, input=TEXTS)
    vector = answer.data[0].embedding
    for options in (dict(input=TEXTS[0], encoding_format='float'), dict(input=TOKENS)):
        other = client.embeddings.create(model=model.id, **options).data[0].embedding
        assert max(abs(a - b) for a, b in zip(vector, other, strict=True)) < 1e-6, options
    short = client.embeddings.create(model='embedding-search', input=TEXTS[0], dimensions=64)
    assert len(short.data[0].embedding) == 64
    try: client.embeddings.create(model='text-embedding-3-small', input='x')
    except NotFoundError as e: assert 'embedding-search' in str(e)
    else: raise AssertionError('another model was accepted')
    print(f'{model.id}: {len(vector)} dimensions, {answer.usage.total_tokens} tokens')


if __name__ == '__main__': main(sys.argv[1])
