"The exported model in transformers.js, under Node.js."
import json
import shutil
import subprocess

import numpy as np
import pytest

from embedding_search.model.encoders import OnnxEncoder

SCRIPT = """
import { AutoModel, AutoTokenizer, env, pipeline } from '@huggingface/transformers';
const [folder, texts] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = folder;
const tokenizer = await AutoTokenizer.from_pretrained('model');
const model = await AutoModel.from_pretrained('model', { dtype: 'q8' });
const extract = await pipeline('feature-extraction', 'model', { dtype: 'q8' });
const vectors = [];
for (const text of JSON.parse(texts)) {
  const { sentence_embedding } = await model(tokenizer([text], { padding: true, truncation: true }));
  const extracted = await extract([text], { pooling: 'mean', normalize: true });
  vectors.push([sentence_embedding.tolist()[0], extracted.tolist()[0]]);
}
console.log(JSON.stringify(vectors));
"""


@pytest.mark.skipif(not shutil.which('npm'), reason='no npm on this machine: transformers.js was not tried')
def test_same_vectors_as_onnxruntime(run, tmp_path):
    package = dict(type='module', dependencies={'@huggingface/transformers': '4.3.1'})
    (tmp_path / 'package.json').write_text(json.dumps(package))
    (tmp_path / 'embed.mjs').write_text(SCRIPT)
    install = ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent']
    subprocess.run(install, cwd=tmp_path, check=True, timeout=300)

    texts = ['fix the radiator', 'new clutch please']
    command = ['node', 'embed.mjs', str(run), json.dumps(texts)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = np.array(json.loads(done.stdout.splitlines()[-1])) # Texts, ways, numbers
    encoder = OnnxEncoder.load(run / 'model')
    ours = np.stack([encoder.encode([text]) for text in texts])
    assert (theirs * ours).sum(2).min() > .99
