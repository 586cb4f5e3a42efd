"Training in two processes over gloo, as several GPUs would."
import json, subprocess, sys
from pathlib import Path
from conftest import SMALL, cli

def test_two_processes(own, tmp_path):
    assert cli('negatives', '--run', tmp_path/'r', *own, *SMALL).returncode == 0
    cmd = [str(Path(sys.executable).parent/'accelerate'), 'launch', '--cpu', '--num_processes', '2', '--num_machines', '1', '--mixed_precision', 'no', '--dynamo_backend', 'no',
           '--num_cpu_threads_per_process', '1', '--main_process_port', '29517',
           str(Path(sys.executable).parent/'embedding-search'), 'train', '--run', str(tmp_path/'r')]
    r = subprocess.run(cmd, capture_output=True, text=True)
    assert r.returncode == 0, r.stderr[-3000:]
    result = json.loads((tmp_path/'r'/'train.json').read_text())
    assert result['processes'] == 2 and result['loss'][-1][1] < result['random_guess']
    assert (tmp_path/'r'/'model'/'model.safetensors').exists()
