"""Check rare faults of files, databases and objects that `read_records` reads."""
import csv
import datetime
import gzip
import io
import os
import re
import sqlite3
import sys

import duckdb
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict
from openpyxl.chart import BarChart

from embedding_search.core import InputError
from embedding_search.data.catalog import MARKS, read_catalog
from embedding_search.data.records import Faults, as_text, read_jsonl, read_records, split_sheet, write_csv, write_jsonl
from embedding_search.run import source_fingerprint

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
    url = 'postgresql+psycopg://ann:s3cret@db.example/shop?sslpassword=s3cret'
    assert Faults(url).name == 'postgresql+psycopg://ann:***@db.example/shop'


def test_faults_are_sorted_and_limited():
    faults = Faults('shop.csv')
    faults.check()
    for row in range(30, 1, -1): faults.add(row, 'empty id', 'sku')
    with pytest.raises(InputError) as e: faults.check()
    lines = str(e.value).splitlines()
    assert lines[0] == 'shop.csv, row 2, field `sku`: empty id'
    assert lines[19:] == ['shop.csv, row 21, field `sku`: empty id', '... and 9 more']


def test_missing_columns():
    faults = Faults('shop.csv')
    assert faults.require(['sku;name'], dict(id='sku')) == set()
    with pytest.raises(InputError, match="separated by ';'"): faults.check()
    faults = Faults('shop.csv')
    faults.require([f'c{i}' for i in range(500)], dict(id='sku'))
    with pytest.raises(InputError, match=r'`c19` \.\.\.\)'): faults.check()


@pytest.mark.parametrize('cell, why', [
    ('\ud83d', r'U\+D83D'), ('a\0b', r'U\+0000'), ('café'.encode('latin-1'), '0xE9 is not UTF-8'), ({}, 'table'),
])
def test_bad_cells(cell, why):
    with pytest.raises(ValueError, match=why): as_text(cell)


def test_odd_cells():
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


def semicolons(head):
    "Rows of a file as a German spreadsheet writes it."
    return f'{head}sku;name;price\r\n0012;"Hex bolt; zinc";0,40\r\n0013;Lock, nut;1,00\r\n'


@pytest.mark.parametrize('head', ['', '\ufeff', '\ufeffsep=;\r\n', '\r\n'])
def test_spreadsheet_csv(tmp_path, head):
    rows = read_records(save(tmp_path, 'x.csv', semicolons(head)))
    assert [row for _, row in rows] == [dict(sku='0012', name='Hex bolt; zinc', price='0,40'),
                                        dict(sku='0013', name='Lock, nut', price='1,00')]
    assert rows[0][0] == 2 + head.count('\n')
    assert read_records(save(tmp_path, 'x.csv.gz', gzip.compress(semicolons(head).encode()))) == rows


def test_spreadsheet_csv_faults(tmp_path):
    assert csv_faults(tmp_path, semicolons('') + '0014;\r\n') == [4]
    latin = save(tmp_path, 'latin.csv', 'sku;name\n0012;Bügel\n'.encode('cp1252'))
    with pytest.raises(InputError, match='latin.csv, row 2, field `name`: byte 0xFC is not UTF-8; save'):
        read_catalog(latin, id='sku', title='name')


@pytest.mark.parametrize('text, columns', [
    ('sku;name;"price, EUR"\n', 3), ('sku,"a;b;c"\n', 2), ('sku\tname\n', 2), ('sku|name\n', 2), ('query\n', 1),
    ('sku,a;b\n', 2), # equally frequent
])
def test_separator_is_that_of_the_header(tmp_path, text, columns):
    cells = text.replace('\n', '\n' + text)
    assert len(read_records(save(tmp_path, 'x.csv', cells))[0][1]) == columns


def test_long_and_odd_fields(tmp_path):
    limit = csv.field_size_limit()
    wide = read_records(save(tmp_path, 'wide.csv', 'sku,name\nB1,"' + 'x' * 300_000 + '"\n'))
    assert len(wide[0][1]['name']) == 300_000
    assert csv.field_size_limit() == limit
    assert read_records(save(tmp_path, 'nul.csv', 'sku,name\nB1,a\0b\n')) == [(2, dict(sku='B1', name='a\0b'))]


def workbook(folder, *rows):
    "Save an Excel file with a hidden sheet and the sheet `Parts`."
    book = openpyxl.Workbook()
    book.active.sheet_state = 'hidden'
    sheet = book.create_sheet('Parts')
    for row in rows: sheet.append(row)
    book.create_chartsheet('Chart').add_chart(BarChart())
    book.save(folder / 'shop.xlsx')
    return sheet, folder / 'shop.xlsx'


def test_excel(tmp_path):
    sheet, path = workbook(tmp_path, [], ['sku', 'name', None, 'added'], ['0012', 'Hex bolt', 'a note'], [])
    sheet.append([7, 'Lock nut', None, datetime.datetime(2026, 1, 31)])
    sheet['A5'].number_format = '0000'
    sheet.parent.save(path)
    rows = [(3, dict(sku='0012', name='Hex bolt', added=None)),
            (5, dict(sku='0007', name='Lock nut', added=datetime.date(2026, 1, 31)))]
    assert read_records(path) == read_records(f'{path}#Parts') == rows
    assert read_records(save(tmp_path, 'shop.XLSX.gz', gzip.compress(path.read_bytes()))) == rows
    catalog = read_catalog(path, id='sku', title='name', extra_columns=['added'])
    assert catalog[1] == dict(id='0007', title='Lock nut', category='', text='', added='2026-01-31')
    refused('no sheet `Chart`; it has `Sheet`, `Parts`', f'{path}#Chart')
    refused('no rows', f'{path}#Sheet')
    assert source_fingerprint(f'{path}#Parts') == source_fingerprint(str(path))


def test_excel_faults(tmp_path):
    _, path = workbook(tmp_path, ['sku', 'name', 'name'], ['A', 'a', 'a'])
    refused('row 1: two columns are called `name`', path)
    _, path = workbook(tmp_path, ['sku', 'name', 'price'], [1, '#N/A', '#REF!'], ['2', '=A1', None])
    with pytest.raises(InputError) as e: read_catalog(path, id='sku', title='name')
    first, second = str(e.value).splitlines()
    assert first == f'{path}, row 2, field `name`: formula error #N/A; correct the formula or clear the cell'
    assert second == f'{path}, row 3, field `name`: empty title' # the formula was never computed
    for cut in (b'', path.read_bytes()[:-200], b'\xd0\xcf\x11\xe0'):
        refused('one with a password', save(tmp_path, 'cut.xlsx', cut))


def test_sheet_of_a_path(tmp_path):
    assert split_sheet('a#b/shop.xlsx#Teile #1') == (tmp_path.__class__('a#b/shop.xlsx'), 'Teile #1')
    assert split_sheet('c#.csv') == (tmp_path.__class__('c#.csv'), '')


def test_duckdb(tmp_path):
    path = tmp_path / 'shop.duckdb'
    with duckdb.connect(path) as database:
        database.execute("create table part as select * from (values ('0012', 'Hex bolt', 0.40), ('7', null, 1)) "
                         "as part(sku, name, price)")
    sql = "select * from part where name is not null and sku <> ':b' order by sku"
    assert read_catalog(path, id='sku', title='name', extra_columns=['price'], sql=sql) == [
        dict(id='0012', title='Hex bolt', category='', text='', price='0.40')]
    with pytest.raises(InputError, match='shop.duckdb, row 2, field `name`: empty title'):
        read_catalog(path, id='sku', title='name', sql='select * from part order by sku')
    refused(r'needs a query: .*\(tables: `part`\)', path)
    refused('Table with name prat does not exist', path, 'select * from prat')
    refused('two columns are called `sku`', path, 'select sku, sku from part')
    refused('no rows', path, 'select * from part where false')
    refused('read-only', path, 'delete from part')
    refused('no such file', tmp_path / 'absent.duckdb', 'select 1')
    refused('not a valid DuckDB', save(tmp_path, 'text.duckdb', SHOP * 1000), 'select 1')
    assert not (tmp_path / 'absent.duckdb').exists()


def test_frames():
    data = dict(sku=['0012', '7'], name=['Hex bolt', None], price=[.5, None])
    frame = pl.DataFrame(data, schema_overrides=dict(name=pl.Categorical))
    rows = read_records(pd.DataFrame(data))
    assert rows == [(1, dict(sku='0012', name='Hex bolt', price=.5)), (2, dict(sku='7', name=None, price=None))]
    assert read_records(frame) == read_records(duckdb.sql('from frame')) == rows
    for source in (frame, pd.DataFrame(data)):
        with pytest.raises(InputError, match='data frame, row 2, field `name`: empty title'):
            read_catalog(source, id='sku', title='name')


@pytest.mark.parametrize('package, source', [('openpyxl', 'x.xlsx'), ('duckdb', 'x.duckdb'), ('pyarrow', 'x.parquet')])
def test_missing_package(tmp_path, monkeypatch, package, source):
    monkeypatch.setitem(sys.modules, package, None)
    refused(f"needs `{package}`: pip install 'embedding_search", save(tmp_path, source, 'x'))


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
    refused('give a .csv', save(tmp_path, 'shop.txt', SHOP))
    refused('save the spreadsheet as .xlsx', save(tmp_path, 'shop.ods', b'PK'))
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
    empty = [tmp_path / 'none.parquet', save(tmp_path, 'empty.jsonl.gz', gzip.compress(b'')), pd.DataFrame({'sku': []}),
             save(tmp_path, 'empty.csv', ''), save(tmp_path, 'head.csv', 'sku,name\n'), []]
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
    refused('no such table: prat', sqlite, 'select * from prat')
    refused('two columns', sqlite, 'select sku, sku from part')
    refused('no rows', sqlite, 'select * from part where 1=0')
    refused('no rows', sqlite, "delete from part where sku='B1'")
    assert len(read_records(sqlite, 'select * from part')) == 3, 'a statement was committed'
    with pytest.raises(InputError, match='row 3, field `name`: byte 0xE9'):
        read_catalog(sqlite, id='sku', title='name', sql='select * from part order by sku')


def test_misspelled_sqlite_file_is_not_created(tmp_path):
    refused('no such database file', f"sqlite:///{tmp_path / 'shpo.db'}", 'select 1')
    assert not (tmp_path / 'shpo.db').exists()


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


def test_jsonl_faults(tmp_path):
    with pytest.raises(InputError, match='no such file'): read_jsonl(tmp_path / 'absent.jsonl')
    with pytest.raises(InputError, match='row 2: not valid JSON'):
        read_jsonl(save(tmp_path, 'cut.jsonl', '{"id": 1}\n{"id": '))
    packed = save(tmp_path, 'cut.jsonl.gz', gzip.compress(b'{}')[:9])
    with pytest.raises(InputError, match='damaged'): read_jsonl(packed)


def test_write_csv(tmp_path):
    assert write_csv(tmp_path / 'x.csv', [dict(query='a "b", c', id='1')]).read_text() == 'query,id\n"a ""b"", c",1\n'
    assert write_csv(tmp_path / 'x.csv', []).read_text() == ''


CATALOG_FAULTS = [
    (dict(source=[dict(id=1, title='\ud83d', category='\udc05')], category='category'), r'U\+DC'),
    (dict(source=[dict(id=1, title='a'), dict(id=2, title=['a'])]), 'row 2, field `title`: a list'),
    (dict(source=[dict(id=1)], title=''), r'no column `` for title \(setting `catalog.title`, --title\)'),
    (dict(source=[dict(id=1, title='a')], extra_columns='size'), 'for size .set `catalog.extra_columns`'),
    (dict(source=[dict(id=1, title="a")], extra_columns=["title"], title="name"), "extra column `title` would"),
    (dict(source=[dict(id='', title='a')] * 100), r'\.\.\. and 80 more'),
    (dict(source=[dict(sku=1, title='a')]), r'no column `id` for id \(setting `catalog.id`, --id\)'),
    (dict(source=[dict(id=None, title='\u200b')]), 'field `id`: empty id\nrows, row 1, field `title`: empty title'),
    (dict(source=[dict(id='\u200b', title='a')]), 'row 1, field `id`: empty id'),
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


def test_long_titles_are_cut():
    rows = [dict(id=1, title='x' * 100_000, notes='short'), dict(id=2, title='nut', notes='y' * 2001)]
    with pytest.warns(UserWarning, match='1 × title over 1,000 and 1 × text over 2,000 characters were cut'):
        cut = read_catalog(rows, text='notes')
    assert [(len(row['title']), len(row['text'])) for row in cut] == [(1000, 5), (3, 2000)]


def test_vowel_signs_are_parts_of_words():
    hindi = 'हिन्दी भाषा'
    assert re.findall(rf'[\w{MARKS}]+', hindi) == hindi.split()
    assert re.findall(r'\w+', hindi) != hindi.split()
