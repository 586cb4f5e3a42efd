"Training in two processes over gloo, as several GPUs would."
import json, subprocess, sys
from pathlib import Path
from conftest import SMALL, cli

def test_two_processes(own, tmp_path):
    assert cli('negatives', '--run', tmp_path/'r', *own, *SMALL, '--set', 'train.epochs=4').returncode == 0
    command = Path(sys.executable).parent/'embedding-search'
    r = subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2', '--no_python', '--', command, 'train', '--run', tmp_path/'r'],
                       capture_output=True, text=True, timeout=300)
    assert r.returncode == 0, r.stderr[-3000:]
    assert r.stdout.count('skipped') == 5 and r.stdout.count('train  ') == 2 # one process speaks: start and end of the stage
    result = json.loads((tmp_path/'r'/'train.json').read_text())
    assert result['processes'] == 2 and result['loss'][-1][1] < result['random_guess']
    pairs = json.loads((tmp_path/'r'/'manifest.json').read_text())['train']['counts']['pairs']
    assert result['steps'] == 4*(pairs//(2*16))
    assert (tmp_path/'r'/'tuned'/'model.safetensors').exists()
    assert cli('run', '--run', tmp_path/'r').returncode == 0
