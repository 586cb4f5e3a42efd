"""Check rare faults of files, databases and objects that `read_records` reads."""
import csv
import gzip
import io
import os
import sqlite3

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict

from embedding_search.core import InputError
from embedding_search.data.catalog import read_catalog
from embedding_search.data.records import Faults, as_text, read_jsonl, read_records, write_jsonl

SHOP = 'sku,name\nB1,"Hex bolt, zinc"\nN1,Lock nut\n'


def save(folder, name, data):
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def csv_faults(folder, text):
    "Row numbers of the faults in a CSV file."
    faults = Faults('x')
    read_records(save(folder, 'x.csv', text), faults=faults)
    return [row for row, _ in faults.found]


def refused(why, *args):
    with pytest.raises(InputError, match=why) as e: read_records(*args)
    return str(e.value)


def test_source_names():
    assert Faults(pd.DataFrame()).name == 'data frame'
    assert Faults([]).name == 'rows'
    for url in ('postgresql://ann:s3@cret@db/shop', 'mysql://ann:x@db:s3cret/shop'):
        assert Faults(url).name == url.split(':')[0] + '://...'


def test_missing_columns():
    faults = Faults('shop.csv')
    assert faults.require(['sku;name'], dict(id='sku')) == set()
    with pytest.raises(InputError, match="separated by ';'"): faults.check()
    faults = Faults('shop.csv')
    faults.require([f'c{i}' for i in range(500)], dict(id='sku'))
    with pytest.raises(InputError, match=r'`c19` \.\.\.\)'): faults.check()


def test_surrogates_are_refused():
    with pytest.raises(ValueError, match=r'U\+D83D'): as_text('\ud83d')
    with pytest.raises(ValueError, match='table'): as_text({})
    assert as_text(float('nan')) == ''
    assert as_text('a\u2028b') == 'a b'


@pytest.mark.parametrize('text, rows', [
    ('a,b\n1,"x\n2,"y"\n3\n', [2, 4]), # the quote of row 2 closes in row 3
    ('a,b\n"1"x,2\n3\n', [2, 3]),
    ('a,"b\n1,2\n', [1]),
    ('a,b,a\n1,2,3\n', [1]),
    ('a,b\n1,"two\nlines"\n\n3\n', [4]), # a field of two lines is one row
])
def test_csv_rows_are_numbered_as_in_a_spreadsheet(tmp_path, text, rows):
    assert csv_faults(tmp_path, text) == rows


def test_csv_line_ends_and_byte_order_mark(tmp_path):
    rows = [(2, dict(a='1', b='2')), (3, dict(a='3', b='4'))]
    for text in ('a,b\r1,2\r\n3,4', '\ufeffa,b\n1,2\n3,4\n'):
        assert read_records(save(tmp_path, 'x.csv', text)) == rows
    packed = save(tmp_path, 'SHOP.CSV.GZ', gzip.compress(SHOP.encode()))
    assert read_records(packed) == read_records(save(tmp_path, 'shop.csv', SHOP))


def test_long_and_odd_fields(tmp_path):
    limit = csv.field_size_limit()
    wide = read_records(save(tmp_path, 'wide.csv', 'sku,name\nB1,"' + 'x' * 300_000 + '"\n'))
    assert len(wide[0][1]['name']) == 300_000
    assert csv.field_size_limit() == limit
    assert read_records(save(tmp_path, 'nul.csv', 'sku,name\nB1,a\0b\n')) == [(2, dict(sku='B1', name='a\0b'))]


def test_json_faults(tmp_path):
    faults = Faults('shop.jsonl')
    path = save(tmp_path, 'shop.jsonl', '{"sku": 1}\n\n{"sku": \n[2]\n')
    assert read_records(path, faults=faults) == [(1, dict(sku=1))]
    assert [row for row, _ in faults.found] == [3, 4]


def test_arrow_text_that_is_not_utf8():
    latin = pa.array([b'caf\xe9', b'ok']).view(pa.binary())
    table = pa.table({'name': pa.Array.from_buffers(pa.string(), 2, latin.buffers()), 'n': [1, None]})
    assert read_records(table) == [(1, dict(name=b'caf\xe9', n=1)), (2, dict(name=b'ok', n=None))]
    with pytest.raises(InputError, match='row 1, field `name`: byte 0xE9'): read_catalog(table, id='n', title='name')


def test_wrong_files(tmp_path):
    (tmp_path / 'folder.csv').mkdir()
    refused('a folder; give one file', tmp_path / 'folder.csv')
    refused('no such file', tmp_path / 'absent.csv')
    refused('give a .csv', save(tmp_path, 'shop.xlsx', b'PK'))
    refused('UTF-16', save(tmp_path, 'wide.csv', SHOP.encode('utf-16')))
    refused('not a gzip file', save(tmp_path, 'shop.csv.gz', SHOP))
    refused('not a Parquet file', save(tmp_path, 'shop.parquet', 'sku'))


def test_damaged_files(tmp_path):
    packed = gzip.compress(SHOP.encode() * 50)
    damaged = [packed[:60] + b'\xff' * 30 + packed[90:], packed[:-8] + b'\0' * 8, packed[:5]]
    for data in damaged:
        for name in ('x.csv.gz', 'x.jsonl.gz', 'x.parquet.gz'): refused('damaged', save(tmp_path, name, data))
    parquet = io.BytesIO()
    pq.write_table(pa.table({'sku': [str(i) for i in range(5000)]}), parquet)
    data = parquet.getvalue()
    for cut in (data[:-100], data[:100] + b'\xff' * 400 + data[500:], b'PAR1' * 3):
        refused('damaged', save(tmp_path, 'x.parquet', cut))


def test_empty_sources(tmp_path):
    pq.write_table(pa.table({'sku': pa.array([], pa.string())}), tmp_path / 'none.parquet')
    empty = [tmp_path / 'none.parquet', save(tmp_path, 'empty.jsonl.gz', gzip.compress(b'')), pd.DataFrame({'sku': []})]
    for source in empty: refused('no rows', source)


def test_objects():
    frame = pd.DataFrame({'n': [1, None], 't': [pd.NaT, pd.NaT]})
    assert read_records(frame) == [(1, dict(n=1., t=None)), (2, dict(n=None, t=None))]
    refused('one name', pd.DataFrame([[1, 2]], columns=['a', 'a']))
    refused('choose one split', DatasetDict(train=Dataset.from_list([dict(a=1)])))
    refused('int holds no rows', 7)
    faults = Faults('rows')
    assert read_records([dict(a=1), 'x'], faults=faults) == [(1, dict(a=1))]
    assert len(faults.found) == 1


@pytest.fixture
def sqlite(tmp_path):
    connection = sqlite3.connect(tmp_path / 'shop.db')
    connection.execute('create table part (sku text, name text)')
    connection.execute("insert into part values ('B1', 'Hex bolt'), ('N1', 'Lock nut'), ('X1', cast(x'63e9' as text))")
    connection.commit()
    connection.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


def test_sqlite(sqlite):
    assert read_records(sqlite, "select sku from part where name like 'Hex%' and sku <> ':b'") == [(1, dict(sku='B1'))]
    refused('needs a query', sqlite, '')
    refused('two columns', sqlite, 'select sku, sku from part')
    refused('no rows', sqlite, 'select * from part where 1=0')
    refused('no rows', sqlite, "delete from part where sku='B1'")
    assert len(read_records(sqlite, 'select * from part')) == 3, 'a statement was committed'
    with pytest.raises(InputError, match='row 3, field `name`: byte 0xE9'):
        read_catalog(sqlite, id='sku', title='name', sql='select * from part order by sku')


def test_wrong_urls():
    refused('for a file, give its path', 'https://example.org/shop.csv', 'select 1')
    refused('refuses this URL', 'oracle+absent://x', 'select 1')
    refused('dialect://', 'no url://', 'select 1')
    refused('%40', 'postgresql+psycopg://ann:s3@cret@127.0.0.1:1/shop', 'select 1')


@pytest.mark.parametrize('url', [
    'postgresql+psycopg://ann:s3cret@127.0.0.1:1/shop',
    'postgresql+psycopg://ann@127.0.0.1:1/shop?password=s3cret',
    'postgresql+psycopg://ann:s3@cret@127.0.0.1:1/shop',
    'postgresql+psycopg://ann:x@h:s3cret/shop',
])
def test_secrets_stay_secret(url):
    "Nothing listens on the port; neither the message nor the traceback shows the password."
    with pytest.raises(InputError) as e: read_records(url, 'select 1')
    assert 's3cret' not in str(e.value) and 'cret@' not in str(e.value)
    assert e.value.__context__ is None or e.value.__suppress_context__


def test_secrets_in_driver_messages():
    from sqlalchemy import make_url

    from embedding_search.data.records import _hide_secrets
    message = 'refused: s3cret, t0ken, host h'
    url = make_url('postgresql://a:s3cret@h/d?sslpassword=t0ken&sslpassword=x&host=h')
    assert _hide_secrets(message, url) == 'refused: ***, ***, host h'
    assert _hide_secrets(message, make_url('postgresql://a@h/d')) == message


def test_postgresql(tmp_path, tmp_path_factory, monkeypatch):
    "Read from a real server; `pgserver` starts one without a network port."
    if 'XDG_RUNTIME_DIR' not in os.environ: monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path_factory.mktemp('run')))
    pgserver = pytest.importorskip('pgserver')
    server = pgserver.get_server(tmp_path / 'pg', cleanup_mode='delete')
    try:
        url = server.get_uri().replace('postgresql:', 'postgresql+psycopg:')
        server.psql('create table part (id int primary key, name text, "group" text, price numeric(6,2), added date);')
        server.psql("insert into part values (1, 'Hex bolt, 100 % zinc', 'Bolts', 0.40, '2026-01-31'), "
                    "(2, E'Lock\\nnut', 'Nuts', null, null), (3, '🔩', null, 1, null);")
        columns = dict(title='name', category='group')
        sql = "select * from part where name not like '%:x%' order by id::int"
        assert read_catalog(url, **columns, extra_columns=['price', 'added'], sql=sql) == [
            dict(id='1', title='Hex bolt, 100 % zinc', category='Bolts', text='', price='0.40', added='2026-01-31'),
            dict(id='2', title='Lock nut', category='Nuts', text='', price='', added=''),
            dict(id='3', title='🔩', category='', text='', price='1.00', added=''),
        ]
        refused('relation "prat" does not exist', url, 'select * from prat')
        with pytest.raises(InputError, match='did you mean `name`'):
            read_catalog(url, title='nam', sql='select id, name from part')
    finally: server.cleanup()
    assert not (tmp_path / 'pg').exists()


def test_jsonl_is_deterministic(tmp_path):
    rows = [dict(id='1', title='ü')]
    first = write_jsonl(tmp_path / 'rows.jsonl.gz', rows).read_bytes()
    assert write_jsonl(tmp_path / 'rows.jsonl.gz', read_jsonl(tmp_path / 'rows.jsonl.gz')).read_bytes() == first


CATALOG_FAULTS = [
    (dict(source=[dict(id=1, title='\ud83d', category='\udc05')], category='category'), r'U\+DC'),
    (dict(source=[dict(id=1, title='a'), dict(id=2, title=['a'])]), 'row 2, field `title`: a list'),
    (dict(source=[dict(id=1)], title=''), r'no column `` for title \(setting `catalog.title`, --title\)'),
    (dict(source=[dict(id=1, title='a')], extra_columns='size'), 'for size .set `catalog.extra_columns`'),
    (dict(source=[dict(id=1, title="a")], extra_columns=["title"], title="name"), "extra column `title` would"),
    (dict(source=[dict(id='', title='a')] * 100), r'\.\.\. and 80 more'),
]


@pytest.mark.parametrize('options, why', CATALOG_FAULTS)
def test_catalog_faults(options, why):
    with pytest.raises(InputError, match=why): read_catalog(**options)


def test_catalog_fields():
    rows = [dict(id=1, title=' a\n b'), dict(id=2., title='🔩', x=None)]
    assert read_catalog(rows, extra_columns=['x', 'id']) == [
        dict(id='1', title='a b', category='', text='', x=''),
        dict(id='2', title='🔩', category='', text='', x=''),
    ]
