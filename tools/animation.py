"""Record the search page while somebody types, as an animated WebP: `python tools/animation.py [FOLDER] [OUT]`.

FOLDER is a built site, or a finished run whose site is built into a temporary folder. Each frame is the real page after
one key, with the results of that moment. The frames follow each other as fast as somebody types, so the animation says
nothing about speed."""
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

sys.path.insert(0, 'benchmarks')
from tab import BACK, ELEMENT, opened

from embedding_search.search.site import build_site
from embedding_search.settings import settings_for_run

QUERIES = ('fear of heights', 'ringing in the ears', 'hit by a car while cycling')
WINDOW = dict(viewport=dict(width=760, height=470), color_scheme='light')
KEY_MS = 75 # One key
READ_MS = 2300 # The results of a finished query
EMPTY_MS = 600 # Before the first key
CLEAR = f"{ELEMENT}.input.value = ''; {ELEMENT}.input.dispatchEvent(new InputEvent('input')); {ELEMENT}.focus()"


def find_site(folder, temporary):
    "Return a built site: `folder`, or the one of the run in `folder`, built into `temporary`."
    if (folder/'site.json').exists(): return folder
    settings = settings_for_run(folder)
    build_site(folder, temporary, settings.site, search=settings.search)
    return Path(temporary)


def take_frame(tab):
    "Return the page as an image, with the caret."
    return Image.open(io.BytesIO(tab.screenshot(caret='initial'))).convert('RGB')


def record(tab, queries):
    "Type the queries; return `(image, milliseconds)` of each frame."
    tab.evaluate(BACK, queries) # The first searches of a page are slow
    tab.evaluate(CLEAR)
    tab.wait_for_timeout(500)
    frames = [(take_frame(tab), EMPTY_MS)]
    for query in queries:
        for end in range(1, len(query) + 1):
            tab.evaluate(BACK, [query[:end]]) # Returns when the results are in the page
            frames.append((take_frame(tab), KEY_MS))
        frames[-1] = (frames[-1][0], READ_MS)
    return frames


def main(folder='runs/full', out='nbs/images/search.webp'):
    with tempfile.TemporaryDirectory() as temporary:
        site = find_site(Path(folder), temporary)
        with opened(site, **WINDOW) as tab: frames = record(tab, QUERIES)
    images, durations = zip(*frames, strict=True)
    images[0].save(out, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=80, method=4,
                   minimize_size=True)
    print(f'{out}: {len(frames)} frames, {Path(out).stat().st_size / 1e6:.2f} MB')


if __name__ == '__main__': main(*sys.argv[1:])
