"""Prepare and start the peers that `serve.py` compares with: what an engineer writes in an afternoon.

Each file of `peer_services` is one peer behind FastAPI and uvicorn. All search with the base model of the run as it was
published, over the same rows; the vectors are computed once. Their packages are installed into a virtual environment
of their own, in the versions of `requirements.lock` where it has them. All of this stays in `runs/serve_peers`."""
import json
import os
import shutil
import subprocess
import venv
from pathlib import Path

import numpy as np
from load import free_port, start

from embedding_search.artifacts import sha256_file
from embedding_search.core import pin_threads
from embedding_search.data.records import read_jsonl, write_jsonl
from embedding_search.model.encoders import base_model_path
from embedding_search.model.export import export_model
from embedding_search.run import Run
from embedding_search.search.searcher import distinct_titles
from embedding_search.settings import settings_for_run

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT/'runs'/'serve_peers'
SERVICES = Path(__file__).parent/'peer_services'
PACKAGES = ['torch==2.13.0', 'sentence-transformers', 'faiss-cpu', 'onnxruntime', 'tokenizers', 'chromadb', 'fastapi',
            'uvicorn[standard]']
NAMES = ('torch', 'sentence-transformers', 'faiss-cpu', 'onnxruntime', 'chromadb', 'fastapi', 'uvicorn', 'numpy')
PEERS = {
    'ONNX Runtime INT8 + numpy': 'onnx_numpy',
    'sentence-transformers + faiss': 'torch_faiss',
    'sentence-transformers + Chroma': 'torch_chroma',
}
BUILT = ('torch_faiss', 'torch_chroma') # Peers that write an index first


def environment(name, packages):
    "Return the Python of a virtual environment; make it if the packages changed."
    folder = WORK/f'env-{name}'
    python = folder/'bin'/'python'
    installed = folder/'packages.json'
    wanted = json.dumps(packages)
    if installed.exists() and installed.read_text() == wanted: return python
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([python, '-m', 'pip', 'install', '-q', '-c', ROOT/'requirements.lock', *packages], check=True)
    installed.write_text(wanted)
    return python


def peer_versions():
    "Return the versions of the packages that the peers use."
    command = [environment('peers', PACKAGES), '-m', 'pip', 'list', '--format', 'json']
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {package['name']: package['version'] for package in listed if package['name'] in NAMES}


def write_catalog(run, folder):
    "Write the rows of a run, the vectors of their titles, and the base model with its INT8 export."
    files = Run(run, settings_for_run(run))
    pin_threads(files.settings.threads)
    base = base_model_path(files.settings.training.base)
    shutil.copytree(base, folder/'model', copy_function=shutil.copyfile)
    export_model(folder/'model')
    rows = read_jsonl(run/'catalog.jsonl')
    titles, numbers = distinct_titles(rows)
    np.save(folder/'vectors.npy', files.vectors('base', titles, 'title')[numbers])
    write_jsonl(folder/'rows.jsonl', [dict(id=row['id'], title=row['title']) for row in rows])


def prepare(run):
    "Write everything that the peers need, unless it exists; return their folder."
    python = environment('peers', PACKAGES)
    folder = WORK/run.name
    done = folder/'catalog.sha256'
    catalog = sha256_file(run/'catalog.jsonl')
    if done.exists() and done.read_text() == catalog: return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_catalog(run, folder)
    for name in BUILT: subprocess.run([python, SERVICES/f'{name}.py'], check=True, env=variables(folder, 2))
    done.write_text(catalog)
    return folder


def variables(folder, threads):
    "Return the environment of a peer."
    names = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PEER_THREADS')
    return os.environ | {name: str(threads) for name in names} | dict(PEER_FOLDER=str(folder))


def start_peer(folder, name, workers, threads):
    "Start a peer; return process, port and seconds until the first answer."
    port = free_port()
    command = [environment('peers', PACKAGES), '-m', 'uvicorn', '--factory', f'{PEERS[name]}:app',
               '--app-dir', SERVICES, '--port', port, '--workers', workers, '--no-access-log', '--log-level', 'warning']
    server, seconds = start(command, port, timeout=600, env=variables(folder, threads))
    return server, port, seconds
