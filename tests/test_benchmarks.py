"Result files of benchmarks say how they were measured, and whether the code has changed since."
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]/'benchmarks'))
import traces


@pytest.fixture
def measured(tmp_path, monkeypatch):
    "A project with one module that was measured, and the result."
    monkeypatch.setattr(traces, 'ROOT', tmp_path)
    monkeypatch.setattr(traces, 'RESULTS', tmp_path/'results')
    (tmp_path/'module.py').write_text('def double(x): return 2 * x\n')
    traces.write_result('speed', dict(ms=3), ['*.py'])
    return tmp_path/'results'/'speed.json'


def test_a_result_says_how_it_was_measured(measured):
    result = json.loads(measured.read_text())
    assert result['ms'] == 3
    assert result['trace'].keys() == {'commit', 'command', 'date', 'machine', 'versions', 'source'}
    assert {'cpu', 'cores', 'python', 'load_before', 'load_after'} == result['trace']['machine'].keys()


@pytest.mark.parametrize('text, changed', [
    ('def double(x):\n    "Double it."\n    return 2 * x # Twice\n', False),
    ('def double(x): return x + x\n', True),
], ids=['docstring', 'code'])
def test_changed_code_is_reported(measured, text, changed):
    assert traces.changed_since(measured) == []
    (traces.ROOT/'module.py').write_text(text)
    lines = traces.changed_since(measured)
    assert [line.startswith('speed.json: the measured code has changed since') for line in lines] == [True] * changed


def test_a_new_or_removed_file_is_a_change(measured):
    (traces.ROOT/'second.py').write_text('')
    assert len(traces.changed_since(measured)) == 1
    (traces.ROOT/'second.py').unlink()
    assert traces.changed_since(measured) == []


def test_rows_that_were_measured_at_different_times(measured):
    trace = json.loads(measured.read_text())['trace']
    stale = trace | dict(source=trace['source'] | dict(hash='0'))
    measured.write_text(json.dumps(dict(new=dict(trace=trace), old=dict(trace=stale), older=dict(ms=1))))
    assert [line.split(':')[0] for line in traces.changed_since(measured)] == ['speed.json old']


def test_results_without_a_trace_are_named(measured):
    for result in (dict(ms=3), [1]):
        measured.write_text(json.dumps(result))
        assert traces.changed_since(measured) == ['speed.json: no source fingerprint']
