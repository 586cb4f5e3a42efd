"""Rebuilds data/mdi and data/countries, the two small catalogs beside the shipped one.

`npm pack @mdi/svg@7.4.47`, unpack, `python tools/catalogs.py package/meta.json`; the country names are those of Unicode CLDR in Babel 2.18.0."""
import csv, gzip, io, json, sys
from pathlib import Path
from babel import Locale

DATA = Path(__file__).parent.parent/'data'
LANGUAGES = {'de': ('Deutsch', 'Urlaub in {}'), 'en': ('English', 'holidays in {}'), 'es': ('Español', 'vacaciones en {}'),
             'fr': ('Français', 'vacances {}'), 'ja': ('日本語', '{} 旅行'), 'ru': ('Русский', '{} отпуск')}
COUNTRIES = ('AT AU BE BR CA CH CL CN CO CZ DE DK EG ES FI FR GB GR HU ID IE IN IS IT JP KE KR LT LU LV MA MX NG NL NO NZ PE PH PL PT RO RU SA SE SG SK '
             'TH TR UA US VN ZA').split()

def write(path, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))

def words(name): return ' '.join(name.split('-'))

if len(sys.argv) != 2: sys.exit('usage: python tools/catalogs.py package/meta.json (of npm pack @mdi/svg@7.4.47)')
icons = json.loads(Path(sys.argv[1]).read_text())
write(DATA/'mdi'/'catalog.csv.gz', [('id','title','category'), *((i['name'], words(i['name']), (i['tags'] or [''])[0]) for i in icons)])
write(DATA/'mdi'/'human.csv.gz', [('query','id'), *((words(a), i['name']) for i in icons for a in i['aliases'])])

names = {k: Locale(k).territories for k in LANGUAGES}
write(DATA/'countries'/'catalog.csv.gz', [('id','title','category'), *((f'{c}-{k}', names[k][c], LANGUAGES[k][0]) for c in COUNTRIES for k in LANGUAGES)])
write(DATA/'countries'/'queries.csv.gz', [('query','id'), *((LANGUAGES[k][1].format(names[k][c]), f'{c}-{k}') for c in COUNTRIES for k in LANGUAGES)])
