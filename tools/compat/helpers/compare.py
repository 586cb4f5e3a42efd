"""Compare vectors of another client with those of our own encoder, and print the smallest cosine.

Runs with the project's Python. Standard input: `{"model", "file", "encoded": [[kind, text, vector], ...]}`."""
import json
import sys

import numpy as np

from embedding_search.model.encoders import OnnxEncoder

job = json.load(sys.stdin)
encoder = OnnxEncoder.load(job['model'], job['file'])
cosines = []
for kind, text, vector in job['encoded']:
    ours = encoder.encode([text], kind)[0]
    theirs = np.array(vector)
    cosines.append(ours @ theirs / np.linalg.norm(theirs))
print(min(cosines))
