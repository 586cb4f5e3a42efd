"The documentation site is built from the notebooks; no link of it leads nowhere, nothing comes from elsewhere."
import json, re, subprocess, sys
from pathlib import Path

def test_site():
    done = subprocess.run([sys.executable, 'tools/docs.py'], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]  # Dead links end it with their list
    pages = {p.parent.name: p.read_text() for p in Path('_docs').glob('*/index.html')}
    assert {p.stem for p in Path('nbs').glob('??_*.ipynb')} <= pages.keys()
    loaded = [x for html in [*pages.values(), Path('_docs/index.html').read_text()] for x in re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="((?:https?:)?//[^"]+)"', html) if 'rel="canonical"' not in x]
    assert not loaded
    assert 'Highest score a negative may have' in pages['13_negatives'], 'docments stand in the table of parameters'
    assert any('false negative' in x['text'] for x in json.loads(Path('_docs/search/search_index.json').read_text())['docs'])
