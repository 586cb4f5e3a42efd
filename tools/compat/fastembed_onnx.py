"""`TextEmbedding.add_custom_model` and `TextEmbedding(name, specific_model_path=model)`, with either graph, offline."""
import json
import os
import subprocess
import sys
from pathlib import Path

from fastembed import TextEmbedding
from fastembed.common.model_description import ModelSource, PoolingType

REQUIREMENTS = ['fastembed==0.9.1']
NEEDS = 'run'
QUERY = 'where is the capital of the alps'
TITLES = ['Switzerland, landlocked country', 'a very long title ' * 40]
GRAPHS = {'model.onnx': .999, 'model_quantized.onnx': .99} # File to the smallest cosine that passes


def load(folder, file):
    "Register the graph and load it from the folder; it pools by itself."
    name = f'local/{file}'
    width = json.loads((folder/'config.json').read_text())['hidden_size']
    TextEmbedding.add_custom_model(
        model=name, pooling=PoolingType.DISABLED, normalization=True, output_name='sentence_embedding',
        sources=ModelSource(hf=name), dim=width, model_file=f'onnx/{file}',
    )
    return TextEmbedding(name, specific_model_path=str(folder))


def smallest_cosine(folder, file):
    "Encode a query and two titles; return the smallest cosine with our own encoder."
    model = load(folder, file)
    config = json.loads((folder/'config_sentence_transformers.json').read_text())
    encoded = []
    for kind, prompt, text in [('query', 'query', QUERY), *(('title', 'document', title) for title in TITLES)]:
        vector = next(iter(model.embed([config['prompts'][prompt] + text])))
        encoded.append([kind, text, vector.tolist()])
    compare = [os.environ['PROJECT_PYTHON'], Path(__file__).parent/'helpers'/'compare.py']
    job = json.dumps(dict(model=str(folder), file=file, encoded=encoded))
    return float(subprocess.run(compare, input=job, capture_output=True, text=True, check=True).stdout)


folder = Path(sys.argv[1])/'model'
results = []
for file, limit in GRAPHS.items():
    cosine = smallest_cosine(folder, file)
    assert cosine >= limit, f'{file}: {cosine}'
    results.append(f'{file} {cosine:.6f}')
print('smallest cosine with our encoder: ' + ', '.join(results))
