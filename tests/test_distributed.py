"Training in two processes over gloo, as on two GPUs."
import json
import subprocess
import sys

from conftest import COMMAND, SMALL, cli


def test_two_processes(own, tmp_path):
    run = tmp_path / 'r'
    settings = [*own, *SMALL, '--set', 'training.epochs=4']
    assert cli('run', '--until', 'negatives', '--run', run, *settings).returncode == 0

    torchrun = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node', '2', '--no_python', '--']
    result = subprocess.run([*torchrun, COMMAND, 'run', '--until', 'training', '--run', run], capture_output=True,
                            text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count('skipped') == 5, 'more than one process writes messages'

    training = json.loads((run / 'training.json').read_text())
    assert training['processes'] == 2
    assert training['loss'][-1][1] < training['random_guess']
    pairs = json.loads((run / 'manifest.json').read_text())['training']['counts']['pairs']
    assert training['steps'] == 4 * (pairs // (2 * 16))
    assert (run / 'fine_tuned' / 'model.safetensors').exists()
    assert cli('run', '--run', run).returncode == 0
