"""A cross-encoder as a judge and as a teacher: rows `teacher:NAME`, `relabelled-1` and `margin-mse` of `recipe.py`.

It reads query and title together, starts from the same base model, and learns from pairs that the rows themselves do not train on. It judges the negatives that the base model found (those that it takes for answers are dropped), and its differences between answer and negative are what a distillation pass is taught (MarginMSE)."""
import json, random, time
from functools import cached_property
import numpy as np
from embedding_search.encode import TorchEncoder, base_path, load_model
from embedding_search.evaluate import dense_scores
from embedding_search.negatives import candidates, dense_miner, hard_negatives, random_miner

class Teacher:
    "The cross-encoder of a recipe's laboratory, its opinions, and what both took in seconds."
    def __init__(self, lab, size=10_000):
        self.lab, self.size, self.folder = lab, size, lab.work/'teacher'; self.folder.mkdir(exist_ok=True)
        self.rows = candidates(lab.rows, lab.fam, lab.held); self.names = [r['title'] for r in self.rows]
    def mined(self, pairs, n):
        "The base model's first `n` titles for each query that no rule calls an answer, however near they are."
        e, q = TorchEncoder(load_model()), [p['query'] for p in pairs]
        found = dense_miner(e.encode(q, 'query'), e.encode([self.lab.title[p['id']] for p in pairs], 'title'), e.encode(self.names, 'title'))
        return hard_negatives(pairs, found, self.rows, self.lab.fam, n, -9)[0]
    def lessons(self):
        "Queries with their title (1), with a title that the base model takes for near (0) and with any title (0)."
        own = {(p['query'], p['id']) for p in self.lab.pairs}
        pairs = random.Random(self.lab.seed).sample([p for p in self.lab.all_pairs if (p['query'], p['id']) not in own], self.size)
        c, t = self.mined(pairs, 5), self.lab.title; rng = random.Random(self.lab.seed)
        any_ = hard_negatives(pairs, random_miner(len(pairs), len(self.rows), 6, self.lab.seed), self.rows, self.lab.fam, 1, 0)[0]
        return [(p['query'], t[i], y) for p,x in zip(c, any_) for i,y in ((p['id'], 1.), *((i, 0.) for i in rng.sample(p['negatives'], min(1, len(p['negatives'])))), *((i, 0.) for i in x['negatives']))]
    @cached_property
    def model(self):
        "The cross-encoder, trained if it is not there yet."
        from datasets import Dataset
        from sentence_transformers import CrossEncoder, CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
        out = self.folder/'model'
        if not (out/'model.safetensors').exists():
            start = time.time(); data = self.lessons(); model = CrossEncoder(base_path(load_model.__defaults__[0]), num_labels=1, max_length=64, model_kwargs={'use_safetensors': True})
            args = CrossEncoderTrainingArguments(output_dir=str(self.folder/'checkpoints'), num_train_epochs=1, learning_rate=1e-4, per_device_train_batch_size=64, warmup_steps=70, seed=self.lab.seed, report_to=[], save_strategy='no', logging_steps=50, bf16=False)
            CrossEncoderTrainer(model=model, args=args, train_dataset=Dataset.from_dict(dict(zip(('query','title','label'), zip(*data)))).shuffle(seed=self.lab.seed), loss=BinaryCrossEntropyLoss(model)).train()
            model.save_pretrained(str(out)); (self.folder/'train_s.json').write_text(json.dumps(round(time.time()-start)))
        return CrossEncoder(str(out), max_length=64)
    def judge(self, texts):
        "Logits of `(query, title)`."
        from torch.nn import Identity
        return self.model.predict(texts, batch_size=128, show_progress_bar=True, activation_fn=Identity()).astype(float).round(3)
    @cached_property
    def opinions(self):
        "The rows' pairs with two mined negatives each, and the judge's logits: of the title first, then of the negatives; and the seconds it took, training of the judge included."
        f = self.folder/'opinions.json'
        if not f.exists():
            start = time.time(); pairs, t = self.mined(self.lab.pairs, 2), self.lab.title
            s = iter(self.judge([(p['query'], t[i]) for p in pairs for i in (p['id'], *p['negatives'])]))
            f.write_text(json.dumps(dict(pairs=[dict(p, logits=[next(s) for _ in range(1+len(p['negatives']))]) for p in pairs], judge_s=round(time.time()-start))))
        return json.loads(f.read_text())
    def relabelled(self, margin=1.):
        "The pairs with the first negative that the judge does not take for an answer: its logit stays `margin` below the title's."
        out = []
        for p in self.opinions['pairs']:
            ok = [i for i,s in zip(p['negatives'], p['logits'][1:]) if s < p['logits'][0]-margin]
            out.append(dict(query=p['query'], id=p['id'], negatives=ok[:1]))
        return out
    def numbers(self, examples=10):
        "How many negatives the judge drops, and some of those that it likes better than the title."
        pairs, t = self.opinions['pairs'], self.lab.title
        first = [(p, s) for p in pairs for s in p['logits'][1:2]]; better = [dict(query=p['query'], title=t[p['id']], preferred=t[p['negatives'][0]], logits=p['logits'][:2]) for p,s in first if s > p['logits'][0]]
        return dict(train_s=json.loads((self.folder/'train_s.json').read_text()), judge_s=self.opinions['judge_s'], judged=sum(len(p['logits']) for p in pairs), first=len(first), dropped=sum(s >= p['logits'][0]-1 for p,s in first), preferred=len(better),
                    examples=random.Random(0).sample(better, min(examples, len(better))))
    def margins(self, pupil, scale=20, sample=2000):
        "Triplets with the judge's difference between title and first negative for a label, as wide as the differences of the model in `pupil` times `scale`."
        from datasets import Dataset
        x = [p for p in self.opinions['pairs'] if p['negatives']]; t = self.lab.title
        q, pos, neg = [p['query'] for p in x], [t[p['id']] for p in x], [t[p['negatives'][0]] for p in x]; wide = np.array([p['logits'][0]-p['logits'][1] for p in x])
        e = TorchEncoder(load_model(str(pupil))); a, b, c = (e.encode(v[:sample], k) for v,k in ((q, 'query'), (pos, 'title'), (neg, 'title')))
        return Dataset.from_dict(dict(anchor=q, positive=pos, negative_1=neg, label=(wide*scale*((a*b).sum(1)-(a*c).sum(1)).std()/wide[:sample].std()).tolist())).shuffle(seed=self.lab.seed)

def second_look(lab, encoder, teacher, depth=10):
    "Ranks of the dev queries when the judge orders the first `depth` titles of `encoder` anew."
    c, out = encoder.encode(lab.corpus.titles, 'title'), {}
    for p,qs in lab.dev.items():
        scores = [s.copy() for s in dense_scores(encoder.encode([x['query'] for x in qs], 'query'), c)]
        tops = [np.argpartition(-s, depth)[:depth] for s in scores]
        said = iter(teacher.judge([(x['query'], lab.corpus.titles[i]) for x,top in zip(qs, tops) for i in top]))
        for s,top in zip(scores, tops): s[top] = 100+np.array([next(said) for _ in top])
        out[p] = lab.corpus.rank(scores, qs, lab.below)
    return out
