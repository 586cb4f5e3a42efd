"Rebuilds data/mdi from the npm package @mdi/svg: `npm pack @mdi/svg@7.4.47`, unpack, `python tools/mdi.py package/meta.json`."
import csv, gzip, io, json, sys
from pathlib import Path

def write(path, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerows(rows)
    Path(path).write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))

icons = json.loads(Path(sys.argv[1]).read_text())
words = lambda name: ' '.join(name.split('-'))
out = Path(__file__).parent.parent/'data'/'mdi'
write(out/'catalog.csv.gz', [('id','title','category'), *((i['name'], words(i['name']), (i['tags'] or [''])[0]) for i in icons)])
write(out/'human.csv.gz', [('query','id'), *((words(a), i['name']) for i in icons for a in i['aliases'])])
