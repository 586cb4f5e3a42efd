"Write the results of Python that the browser code must reproduce (web/test)."
import base64
import json
from pathlib import Path

import numpy as np

from embedding_search.data.catalog import norm
from embedding_search.model.encoders import top_k
from embedding_search.model.ngrams import NgramEncoder, hash_ngram, ngram_rows, plain_words
from embedding_search.search.searcher import fuse
from embedding_search.search.site import (
    cut_titles,
    ngram_tiers,
    pack_axes,
    pack_catalog,
    pack_columns,
    pack_vectors,
    site_order,
)

PATH = Path(__file__).parents[1] / 'web' / 'test' / 'vectors.json'
TEXTS = [
    '', ' ', '-', 'Brake pad, left', "won't start", 'Engine oil change (5W-30)', 'RADIÁTOR cleanning', 'naïve Œuvre',
    'Straße STRASSE', 'ΟΔΟΣ οδος', 'тормоз', 'บริการซ่อม', '刹车片 brake', '🚗🔧', 'snake_case', '12.5 µg',
    'e\u0301t\u00e9', 'ﬁlter', 'a\tb\nc', 'constructor __proto__', 'İstanbul ı', '½ inch', 'x' * 40,
]
NGRAMS = ['<a>', '<ra', 'rad', 'ator>', '刹', 'é', '<constructor>', '🚗', '']
BUCKETS = [7, 4096, 65_536, 1_000_003]
RANKED = [([], []), ([3, 1, 2], []), ([], [5]), ([3, 1, 2], [2, 9, 3]), ([0, 1], [1, 0]),
          (list(range(30)), [29, 7, 40])]
SETTINGS = [(10, .2), (60, 1.), (1, 0.)]


def fusion_case(dense, keyword, k, weight):
    "Fuse two lists as `Searcher` does."
    _, order = fuse([(1., np.array(dense, dtype=np.int64)), (weight, np.array(keyword, dtype=np.int64))], k)
    settings = dict(rrf_k=k, keyword_weight=weight)
    return dict(dense=dense, keyword=keyword, settings=settings, order=order.tolist())


def column_case():
    "Pack columns of every type."
    columns = dict(
        names=['a', '刹', ''],
        i8=np.array([-128, 127], dtype=np.int8),
        u8=np.array([255], dtype=np.uint8),
        i16=np.array([-32767, 3], dtype=np.int16),
        u16=np.array([65_535], dtype=np.uint16),
        u32=np.array([1, 70_000], dtype=np.uint32),
        f32=np.array([.5, -2.], dtype=np.float32),
    )
    expected = {name: column if isinstance(column, list) else column.tolist() for name, column in columns.items()}
    return dict(packed=base64.b64encode(pack_columns(columns)).decode(), expected=expected)


def catalog_case():
    "Pack a small catalog with a family, odd titles and two categories."
    titles = ['Brake pad, left', 'Brake pad, right', '<b>Radiator</b> cleaning', '刹车片', 'Radiator repair (2x)']
    categories = ['Brakes', 'Brakes', 'Cooling', 'Brakes', 'Cooling']
    rows = [dict(id=f'P-{i}', title=title, category=category)
            for i, (title, category) in enumerate(zip(titles, categories, strict=True))]
    family_of = {row['id']: row['id'] for row in rows} | {'P-1': 'P-0'}
    packed = pack_catalog(site_order(rows, family_of))
    return dict(packed=base64.b64encode(packed).decode(), rows=rows)


def words_of(text):
    "Cut a text as titles are cut, and leave out the separators."
    pieces, separators = cut_titles([text])
    return [piece for piece in pieces[0] if piece not in separators]


def nearest(vectors, axes, codes):
    "Rank codes as the page does; the numbers of the best five."
    return top_k(vectors @ (axes / 32767).T.astype(np.float32), codes.astype(np.float32), 5)[1].tolist()


def tiers_case():
    "Pack a small n-gram tier with its draft, and further axes; say what each tier finds."
    rng = np.random.default_rng(0)
    signs = np.array([[1]])
    for _ in range(4): signs = np.kron(signs, [[1, 1], [1, -1]])
    axes = (8192 * signs[:10]).astype(np.int16) # Orthogonal, and exact on every machine
    codes = rng.integers(-30, 31, (40, 10)).astype(np.int8)
    table = rng.integers(-4, 5, (64, 6)).astype(np.int8)
    scale = 2. ** rng.integers(-2, 3, 64)
    ngram = NgramEncoder(table, scale.astype(np.float32), axes[:6])
    tiers, contents = ngram_tiers(ngram, codes[:, :6], draft_from=0)
    contents |= dict(axes=pack_axes(axes), vectors_more=pack_vectors(codes[:, 6:]))
    texts = [text for text in TEXTS if plain_words(text)]
    whole = rng.integers(-5, 6, (len(texts), 16)).astype(np.float32)
    whole /= np.linalg.norm(whole, axis=1, keepdims=True)
    return dict(
        files={name: base64.b64encode(content).decode() for name, content in contents.items()},
        tiers={tier.entry['name']: nearest(tier.encode(texts), tier.axes, tier.codes) for tier in tiers},
        texts=texts,
        whole=whole.tolist(),
        blend=dict(weight=ngram.weight, floor=ngram.floor, ceiling=ngram.ceiling),
        blended=nearest(ngram.blend(whole, texts), axes, codes),
    )


def make_vectors():
    "Compute all cases."
    return dict(
        words=[dict(text=text, words=words_of(text)) for text in TEXTS],
        plain_words=[dict(text=text, words=plain_words(text)) for text in TEXTS],
        normalized=[dict(text=text, normalized=norm(text)) for text in TEXTS],
        hashes=[dict(ngram=ngram, buckets=buckets, row=hash_ngram(ngram, buckets))
                for ngram in NGRAMS for buckets in BUCKETS],
        ngram_rows=[dict(text=text, rows=list(ngram_rows(text, 65_536))) for text in TEXTS],
        fusion=[fusion_case(*ranked, *settings) for ranked in RANKED for settings in SETTINGS],
        columns=column_case(),
        catalog=catalog_case(),
        tiers=tiers_case(),
    )


def as_json(): return json.dumps(make_vectors(), ensure_ascii=True, indent=1) + '\n'


if __name__ == '__main__':
    PATH.write_text(as_json(), encoding='utf-8')
    print(f'wrote {PATH}')
