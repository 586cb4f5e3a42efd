"""Binary `COPY`, exact scan and HNSW index of pgvector 0.6.2 in PostgreSQL: the recipe in `docs/vectors_out.md`."""
import os
import sys
import tempfile
from pathlib import Path

import pgserver
from helpers.recipe import check_scores, run_recipe

REQUIREMENTS = [
    'pgserver==0.1.4', 'psycopg[binary]==3.3.9', 'pgvector==0.5.1', 'pyarrow==26.0.1', 'numpy==2.4.6',
    'onnxruntime==1.31.1', 'tokenizers==0.22.2', 'fastcore==1.14.5', 'filelock==4.2.11', 'pydantic==2.14.3',
    'tqdm==4.70.1',
]
NEEDS = 'run'

folder = tempfile.mkdtemp()
os.environ.setdefault('XDG_RUNTIME_DIR', folder)
server = pgserver.get_server(Path(folder)/'pg', cleanup_mode='delete')
try:
    os.environ['DATABASE_URL'] = server.get_uri()
    names = run_recipe('PostgreSQL with pgvector', sys.argv[1])
    result = check_scores([score for _, _, score in names['hits']], names)
    assert len({family for family, _, _ in names['families']}) == 5
    names['database'].execute('set enable_seqscan = off')
    nearest = 'select id from entry order by vector <#> %s limit 5'
    plan = names['database'].execute(f'explain {nearest}', [names['query']]).fetchall()
    assert 'Index Scan' in str(plan), plan
    names['database'].close()
finally: server.cleanup()
print(result)
