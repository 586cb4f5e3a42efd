"The model card of a finished run."
import json

from conftest import PARTS
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results


def test_results_in_the_metadata_are_those_of_the_published_weights(run):
    card = ModelCard.load(run/'model'/'README.md')
    metadata = card.data.to_dict()
    name, results = model_index_to_eval_results(metadata['model-index'])
    assert name == 'my'
    assert eval_results_to_model_index(name, results) == metadata['model-index']
    assert metadata['base_model'] == 'sentence-transformers/all-MiniLM-L6-v2'

    evaluation = json.loads((run/'evaluation.json').read_text())
    test_sets = set(evaluation['results']) - {'training queries'}
    assert {result.dataset_config for result in results} == test_sets
    for result in results:
        systems = evaluation['results'][result.dataset_config]
        metric = result.metric_name.split(' (')[0]
        assert result.metric_value == round(systems['fine-tuned INT8']['strict'][metric], 4)
        assert result.metric_name == f'{metric} (strict, fine-tuned INT8)'


def test_says_what_other_libraries_do_not_read_and_shows_no_training_query(run):
    text = (run/'model'/'README.md').read_text()
    for name in ('ngram_encoder', 'title_vectors'): assert f'`onnx/{name}.npz`' in text
    assert not any(part in text for part in PARTS)
