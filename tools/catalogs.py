"""Rebuild data/mdi and data/countries, the two small catalogs.

Run `npm pack @mdi/svg@7.4.47`, unpack it, then `python tools/catalogs.py package/meta.json`. The country names are
those of Unicode CLDR in Babel 2.18.0."""
import csv
import gzip
import io
import json
import sys
from pathlib import Path

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
    if len(sys.argv) != 2: sys.exit('usage: python tools/catalogs.py package/meta.json (of npm pack @mdi/svg@7.4.47)')
    write_icons(sys.argv[1])
    write_countries()
