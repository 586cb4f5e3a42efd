"The package as others install it."
import importlib.util
from pathlib import Path

def test_wheel_in_a_clean_environment():
    "Wheel and sdist build; the wheel answers by meaning without torch, from the search that it brings along."
    spec = importlib.util.spec_from_file_location('release', Path(__file__).parents[1]/'tools'/'release.py'); release = importlib.util.module_from_spec(spec); spec.loader.exec_module(release)
    r = release.main()
    assert 'lock-open' in r['found'] and r['wheel_mb'] < 14
