"""Search with ONNX Runtime (the base model in INT8) and a product in numpy.

    uvicorn --factory onnx_numpy:app"""
import numpy as np
import onnxruntime
from shared import FOLDER, THREADS, make_app, read_rows, read_vectors
from tokenizers import Tokenizer


def load_encoder():
    "Return a function from a query to its unit vector."
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    path = FOLDER/'model'/'onnx'/'model_quantized.onnx'
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    inputs = {node.name for node in session.get_inputs()}
    tokenizer = Tokenizer.from_file(str(FOLDER/'model'/'tokenizer.json'))
    tokenizer.enable_truncation(64)
    tokenizer.no_padding()

    def encode(query):
        ids = np.array([tokenizer.encode(query).ids])
        feed = dict(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
        feed = {name: value for name, value in feed.items() if name in inputs}
        vector = session.run(['sentence_embedding'], feed)[0][0]
        return vector / np.linalg.norm(vector)

    return encode


def app():
    "Make the application."
    encode = load_encoder()
    rows = read_rows()
    vectors = read_vectors()

    def search(query, k):
        scores = vectors @ encode(query)
        best = np.argpartition(-scores, k)[:k]
        best = best[np.argsort(-scores[best])]
        return [(rows[number], scores[number]) for number in best]

    return make_app(search)
