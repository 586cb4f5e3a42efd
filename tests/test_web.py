"The browser code and the Python code agree."
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'tools'))

import web_vectors


def test_vectors_for_the_browser_are_current():
    "The unit tests of the browser code compare it with these results of Python."
    assert web_vectors.PATH.read_text(encoding='utf-8') == web_vectors.as_json(), 'run python tools/web_vectors.py'
