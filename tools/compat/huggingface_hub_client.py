"""`InferenceClient(model=URL).feature_extraction(...)`; `sentence_similarity(...)` with `model=URL/similarity`."""
import os
import sys

os.environ['HF_HUB_OFFLINE'] = '0' # It would also forbid requests to the service
import numpy as np
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

REQUIREMENTS = ['huggingface_hub==2.4.0', 'numpy==2.4.6']
NEEDS = 'service'
TEXTS = ['capital of France', 'island in the Pacific']


def main(url):
    client = InferenceClient(model=url, token='none')
    one = client.feature_extraction(TEXTS[0])
    several = client.feature_extraction(TEXTS, normalize=True, truncate=True)
    assert one.shape == (1, several.shape[1])
    assert np.allclose(one[0], several[0], atol=1e-6)
    assert np.allclose(np.linalg.norm(several, axis=1), 1, atol=1e-5)
    similarity = InferenceClient(model=f'{url}/similarity', token='none').sentence_similarity(TEXTS[0], TEXTS)
    assert np.allclose(similarity, several @ several[0], atol=1e-5)
    try: client.feature_extraction(TEXTS[0], truncation_direction='left')
    except HfHubHTTPError as e: assert e.response.json()['error_type'] == 'Validation'
    else: raise AssertionError('truncation on the left was accepted')
    print(f'vectors {several.shape}, similarity {similarity[1]:.2f}, errors with a type')


if __name__ == '__main__': main(sys.argv[1])
