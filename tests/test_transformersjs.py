"The exported folder in transformers.js, under Node."
import json, shutil, subprocess
import numpy as np, pytest
from embedding_search.encode import Encoder

JS = """
import { pipeline, env } from '@huggingface/transformers';
env.allowRemoteModels = false; env.localModelPath = process.argv[2];
const f = await pipeline('feature-extraction', 'model', { dtype: 'q8' });
const out = await f(JSON.parse(process.argv[3]), { pooling: 'mean', normalize: true });
console.log(JSON.stringify(out.tolist()));
"""

@pytest.mark.skipif(not shutil.which('npm'), reason='no npm on this machine: transformers.js was not tried')
def test_loads(run, tmp_path):
    (tmp_path/'package.json').write_text(json.dumps(dict(type='module', dependencies={'@huggingface/transformers': '4.3.1'})))
    subprocess.run(['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--silent'], cwd=tmp_path, check=True, timeout=300)
    (tmp_path/'embed.mjs').write_text(JS)
    texts = ["fix the radiator", "new clutch please"]
    r = subprocess.run(['node', 'embed.mjs', str(run), json.dumps(texts)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr[-2000:]
    theirs = np.array(json.loads(r.stdout.splitlines()[-1]))
    ours = np.stack([Encoder.load(run/'model').encode([t])[0] for t in texts])
    assert (theirs*ours).sum(1).min() > .97
