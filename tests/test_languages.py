"""Run a base model of the kind that multilingual models are: XLM-RoBERTa with a Unigram tokenizer, here untrained."""
import json
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast

from embedding_search.core import InputError
from embedding_search.data.records import read_records
from embedding_search.model.encoders import OnnxEncoder, TorchEncoder, load_model
from embedding_search.model.export import export_model, used_pieces

CATALOG = Path(__file__).parents[1] / 'data' / 'countries' / 'catalog.csv.gz'
SPECIAL = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']


@pytest.fixture(scope='module')
def titles():
    return [row['title'] for _, row in read_records(CATALOG)]


@pytest.fixture(scope='module')
def base(titles, tmp_path_factory):
    "Folder of an untrained model whose name says that it needs the prefixes of E5."
    folder = tmp_path_factory.mktemp('base')
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=1500, special_tokens=SPECIAL, unk_token='<unk>', show_progress=False)
    tokenizer.train_from_iterator(titles, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A </s>', pair='<s> $A </s> $B </s>', special_tokens=[('<s>', 0), ('</s>', 2)])
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=64, num_hidden_layers=2,
                              num_attention_heads=2, intermediate_size=128, max_position_embeddings=514,
                              type_vocab_size=1)
    XLMRobertaModel(config).save_pretrained(folder / 'plain')
    XLMRobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=512).save_pretrained(folder / 'plain')
    SentenceTransformer(str(folder / 'plain'), device='cpu').save_pretrained(str(folder / 'multilingual-e5-toy'))
    return folder / 'multilingual-e5-toy'


def test_multilingual_base(base, titles, tmp_path):
    model = load_model(str(base), device='cpu')
    assert model.prompts == dict(query='query: ', document='passage: ')
    model.save_pretrained(str(tmp_path / 'model'), safe_serialization=True)
    export_model(tmp_path / 'model')
    torch_encoder = TorchEncoder(model)
    for file, limit in (('model.onnx', .999), ('model_quantized.onnx', .95)):
        encoder = OnnxEncoder.load(tmp_path / 'model', file)
        for kind in ('query', 'title'):
            cosines = (encoder.encode(titles, kind) * torch_encoder.encode(titles, kind)).sum(1)
            assert cosines.min() > limit, (file, kind)


def test_small_size_needs_wordpiece(base):
    tokenizer = json.loads((base / 'tokenizer.json').read_text())
    with pytest.raises(InputError, match='needs a WordPiece tokenizer'): used_pieces(tokenizer, ['日本'])
