"""`litellm.embedding('openai/embedding-search', api_base=URL/v1)` and `'huggingface/...'` with `api_base=URL`."""
import os
import sys

os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True' # Without it, the import downloads prices
import litellm

REQUIREMENTS = ['litellm==1.110.2']
NEEDS = 'service'
TEXTS = ['capital of France', 'island in the Pacific']


def vectors(answer): return [item['embedding'] for item in answer.data]


def main(url):
    options = dict(input=TEXTS, api_key='none', max_retries=0)
    by_openai = litellm.embedding('openai/embedding-search', api_base=f'{url}/v1', **options)
    assert by_openai.usage.total_tokens > 4
    by_tei = litellm.embedding('huggingface/embedding-search', api_base=url, input_type='embed', **options)
    for one, other in zip(vectors(by_openai), vectors(by_tei), strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) < 1e-6
    print(f'{len(vectors(by_openai))} vectors, the same through both providers')


if __name__ == '__main__': main(sys.argv[1])
