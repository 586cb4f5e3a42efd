"Rebuilds data/countries from the names in Unicode CLDR that Babel 2.18.0 carries: `python tools/countries.py`."
from pathlib import Path
from babel import Locale
from mdi import write

LANGUAGES = {'de': 'Deutsch', 'en': 'English', 'es': 'Español', 'fr': 'Français', 'ja': '日本語', 'ru': 'Русский'}
COUNTRIES = ('AT AU BE BR CA CH CL CN CO CZ DE DK EG ES FI FR GB GR HU ID IE IN IS IT JP KE KR LT LU LV MA MX NG NL NO NZ PE PH PL PT RO RU SA SE SG SK TH TR UA US VN ZA').split()
QUERIES = {'de': 'Urlaub in {}', 'en': 'holidays in {}', 'es': 'vacaciones en {}', 'fr': 'vacances en {}', 'ja': '{} 旅行', 'ru': 'отпуск {}'}

def names(language): return Locale(language).territories

out = Path(__file__).parent.parent/'data'/'countries'
rows = [(f'{c}-{k}', names(k)[c], LANGUAGES[k]) for c in COUNTRIES for k in LANGUAGES]
write(out/'catalog.csv.gz', [('id','title','category'), *rows])
write(out/'queries.csv.gz', [('query','id'), *((QUERIES[k].format(names(k)[c]), f'{c}-{k}') for c in COUNTRIES for k in LANGUAGES)])
