"""Search a catalog of structured titles by meaning."""
__version__ = "0.1.0"
__all__ = ['Searcher']


def __getattr__(name):
    "Import `Searcher` when it is first used, so that `import embedding_search` stays fast."
    if name == 'Searcher':
        from .search.searcher import Searcher
        return Searcher
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
