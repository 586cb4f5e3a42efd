"""`SentenceTransformer(model, backend='onnx')` with either graph, and with prompts; optimum-onnx 0.1.0 needs 5.x."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sentence_transformers import SentenceTransformer

REQUIREMENTS = ['torch==2.13.0', 'sentence-transformers[onnx]==5.7.0', 'onnxruntime==1.31.1']
NEEDS = 'run'
PROMPTS = {'query': 'query: ', 'document': 'passage: '}
QUERY = 'where is the capital of the alps'
TITLES = ['Switzerland, landlocked country', 'a very long title ' * 40]
GRAPHS = {'model.onnx': .999, 'model_quantized.onnx': .99} # File to the smallest cosine that passes


def copy_with_prompts(model, folder):
    "Copy `model` to `folder` and give it prompts."
    shutil.copytree(model, folder, dirs_exist_ok=True)
    config = folder/'config_sentence_transformers.json'
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | dict(prompts=PROMPTS)))
    return folder


def smallest_cosine(folder, file, model):
    "Encode a query and two titles; return the smallest cosine with our own encoder."
    encoded = [['query', QUERY, model.encode_query(QUERY).tolist()]]
    encoded += [['title', title, model.encode_document(title).tolist()] for title in TITLES]
    compare = [os.environ['PROJECT_PYTHON'], Path(__file__).parent/'helpers'/'compare.py']
    job = json.dumps(dict(model=str(folder), file=file, encoded=encoded))
    return float(subprocess.run(compare, input=job, capture_output=True, text=True, check=True).stdout)


results = []
with tempfile.TemporaryDirectory() as temporary:
    folder = copy_with_prompts(Path(sys.argv[1])/'model', Path(temporary))
    for file, limit in GRAPHS.items():
        options = dict(file_name=f'onnx/{file}', provider='CPUExecutionProvider')
        model = SentenceTransformer(str(folder), backend='onnx', device='cpu', model_kwargs=options)
        cosine = smallest_cosine(folder, file, model)
        assert cosine >= limit, f'{file}: {cosine}'
        results.append(f'{file} {cosine:.6f}')
print('smallest cosine with our encoder: ' + ', '.join(results))
