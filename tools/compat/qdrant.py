"""`upload_collection`, `query_points` and `query_points_groups` in local mode: the recipe in `docs/vectors_out.md`."""
import sys

from helpers.recipe import check_scores, run_recipe

REQUIREMENTS = [
    'qdrant-client==1.20.0', 'pyarrow==26.0.1', 'numpy==2.4.6', 'onnxruntime==1.31.1', 'tokenizers==0.22.2',
    'fastcore==1.14.5', 'filelock==4.2.11', 'pydantic==2.14.3', 'tqdm==4.70.1',
]
NEEDS = 'run'

names = run_recipe('Qdrant', sys.argv[1])
result = check_scores([hit.score for hit in names['hits']], names)
families = [group.id for group in names['groups']]
assert len(set(families)) == 5, families
print(result)
