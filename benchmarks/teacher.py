"""Train a cross-encoder as a teacher, for the rows `teacher:NAME`, `relabelled-1` and `margin-mse` of `recipe.py`.

A cross-encoder reads query and title together. It starts from the same base model and learns from pairs that the rows
do not train on. It scores the negatives that the base model mined: those that it takes for answers are dropped, and
the difference between its scores of answer and negative is the target of distillation (MarginMSE)."""
import json
import random
import time
from functools import cached_property

import numpy as np
from lab import encode_queries

from embedding_search.evaluation.systems import dense_scores
from embedding_search.model.encoders import MINILM, TorchEncoder, base_model_path, load_model
from embedding_search.model.negatives import minable_rows, mine_dense, mine_random, select_negatives

SIZE = 10_000 # Pairs that the cross-encoder is trained on
MARGIN = 1. # Logit by which a negative must be below the answer
MAX_TOKENS = 64


class Teacher:
    "Train a cross-encoder, and keep its scores in the work folder of a lab."
    def __init__(self, lab):
        self.lab = lab
        self.folder = lab.work/'teacher'
        self.folder.mkdir(exist_ok=True)
        self.candidates = minable_rows(lab.rows, lab.family_of, lab.heldout)

    def mine(self, pairs, n):
        "Select the base model's first `n` titles for each query that no rule calls an answer, whatever they score."
        encoder = TorchEncoder(load_model())
        queries = encoder.encode([pair['query'] for pair in pairs], 'query')
        answers = encoder.encode([self.lab.title_of[pair['id']] for pair in pairs], 'title')
        candidates = encoder.encode([row['title'] for row in self.candidates], 'title')
        mined = mine_dense(queries, answers, candidates)
        return select_negatives(pairs, mined, self.candidates, self.lab.family_of, n, margin=-9)[0]

    def training_examples(self):
        "Return `(query, title, label)`: the answer (1), a title that the base model ranks high (0), any title (0)."
        lab = self.lab
        used = {(pair['query'], pair['id']) for pair in lab.pairs}
        unused = [pair for pair in lab.all_pairs if (pair['query'], pair['id']) not in used]
        pairs = random.Random(lab.seed).sample(unused, SIZE)
        mined = self.mine(pairs, 5)
        drawn = mine_random(len(pairs), len(self.candidates), 6, lab.seed)
        drawn, _ = select_negatives(pairs, drawn, self.candidates, lab.family_of, 1, margin=0)
        rng = random.Random(lab.seed)
        examples = []
        for near, far in zip(mined, drawn, strict=True):
            negatives = rng.sample(near['negatives'], min(1, len(near['negatives']))) + far['negatives']
            labels = [(near['id'], 1.)] + [(id, 0.) for id in negatives]
            examples += [(near['query'], lab.title_of[id], label) for id, label in labels]
        return examples

    def train(self, out):
        "Train the cross-encoder and save it."
        from datasets import Dataset
        from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
        begin = time.time()
        queries, titles, labels = zip(*self.training_examples(), strict=True)
        data = Dataset.from_dict(dict(query=queries, title=titles, label=labels)).shuffle(seed=self.lab.seed)
        model = CrossEncoder(base_model_path(MINILM), num_labels=1, max_length=MAX_TOKENS,
                             model_kwargs={'use_safetensors': True})
        args = CrossEncoderTrainingArguments(
            output_dir=str(self.folder/'checkpoints'), num_train_epochs=1, learning_rate=1e-4,
            per_device_train_batch_size=64, warmup_steps=70, seed=self.lab.seed, report_to=[], save_strategy='no',
            logging_steps=50, bf16=False)
        CrossEncoderTrainer(model=model, args=args, train_dataset=data, loss=BinaryCrossEntropyLoss(model)).train()
        model.save_pretrained(str(out))
        (self.folder/'train_s.json').write_text(json.dumps(round(time.time() - begin)))

    @cached_property
    def model(self):
        "Load the cross-encoder; train it if it does not exist."
        from sentence_transformers import CrossEncoder
        folder = self.folder/'model'
        if not (folder/'model.safetensors').exists(): self.train(folder)
        return CrossEncoder(str(folder), max_length=MAX_TOKENS)

    def score(self, texts):
        "Return the logits of `(query, title)`."
        from torch.nn import Identity
        logits = self.model.predict(texts, batch_size=128, show_progress_bar=True, activation_fn=Identity())
        return logits.astype(float).round(3)

    @cached_property
    def scored_pairs(self):
        "Return `pairs` with two mined negatives and the `logits` of title and negatives, and the seconds it took."
        path = self.folder/'opinions.json'
        if not path.exists():
            begin = time.time()
            pairs = self.mine(self.lab.pairs, 2)
            texts = []
            for pair in pairs:
                ids = (pair['id'], *pair['negatives'])
                texts += [(pair['query'], self.lab.title_of[id]) for id in ids]
            logits = iter(self.score(texts).tolist())
            for pair in pairs: pair['logits'] = [next(logits) for _ in range(1 + len(pair['negatives']))]
            path.write_text(json.dumps(dict(pairs=pairs, judge_s=round(time.time() - begin))))
        return json.loads(path.read_text())

    def relabel(self):
        "Return the pairs with the first negative that the teacher scores lower than the title by `MARGIN`."
        relabeled = []
        for pair in self.scored_pairs['pairs']:
            limit, *logits = pair['logits']
            kept = [id for id, logit in zip(pair['negatives'], logits, strict=True) if logit < limit - MARGIN]
            relabeled.append(dict(query=pair['query'], id=pair['id'], negatives=kept[:1]))
        return relabeled

    def numbers(self, n_examples=10):
        "Count the negatives that the teacher drops, and show some that it scores higher than the title."
        pairs = self.scored_pairs['pairs']
        title_of = self.lab.title_of
        with_negative = [pair for pair in pairs if pair['negatives']]
        preferred = []
        for pair in with_negative:
            logits = pair['logits'][:2]
            if logits[1] <= logits[0]: continue
            preferred.append(dict(query=pair['query'], title=title_of[pair['id']],
                                  preferred=title_of[pair['negatives'][0]], logits=logits))
        return dict(
            train_s=json.loads((self.folder/'train_s.json').read_text()),
            judge_s=self.scored_pairs['judge_s'],
            judged=sum(len(pair['logits']) for pair in pairs),
            first=len(with_negative),
            dropped=sum(pair['logits'][1] >= pair['logits'][0] - MARGIN for pair in with_negative),
            preferred=len(preferred),
            examples=random.Random(0).sample(preferred, min(n_examples, len(preferred))),
        )

    def margins(self, student, scale=20, sample=2000):
        """Return triplets whose label is the teacher's score of the title minus that of the first negative.

        The labels are scaled to the spread of the differences of the model in folder `student`, times `scale`."""
        from datasets import Dataset
        pairs = [pair for pair in self.scored_pairs['pairs'] if pair['negatives']]
        queries = [pair['query'] for pair in pairs]
        positives = [self.lab.title_of[pair['id']] for pair in pairs]
        negatives = [self.lab.title_of[pair['negatives'][0]] for pair in pairs]
        margins = np.array([pair['logits'][0] - pair['logits'][1] for pair in pairs])

        encoder = TorchEncoder(load_model(str(student)))
        query_vectors = encoder.encode(queries[:sample], 'query')
        positive_vectors = encoder.encode(positives[:sample], 'title')
        negative_vectors = encoder.encode(negatives[:sample], 'title')
        differences = (query_vectors * positive_vectors).sum(1) - (query_vectors * negative_vectors).sum(1)
        labels = margins * scale * differences.std() / margins[:sample].std()
        columns = dict(anchor=queries, positive=positives, negative_1=negatives, label=labels.tolist())
        return Dataset.from_dict(columns).shuffle(seed=self.lab.seed)


def rerank(lab, encoder, teacher, depth=10):
    "Rank the answers of the dev queries when the teacher orders the first `depth` titles of `encoder`."
    titles = encoder.encode(lab.corpus.titles, 'title')
    vectors = encode_queries(encoder, lab.dev)
    ranks = {}
    for name, queries in lab.dev.items():
        scores = np.concatenate(list(dense_scores(vectors[name], titles)))
        best = [np.argpartition(-row, depth)[:depth] for row in scores]
        texts = []
        for query, numbers in zip(queries, best, strict=True):
            texts += [(query['query'], lab.corpus.titles[number]) for number in numbers]
        logits = teacher.score(texts).reshape(len(queries), depth)
        for row, numbers, new in zip(scores, best, logits, strict=True): row[numbers] = 100 + new # Above all cosines
        ranks[name] = lab.rank(scores, queries)
    return ranks
