"""Take screenshots of a built site in all looks: `python tools/screenshots.py SITE OUT QUERY [QUERY ...]`.

For each query one picture in light, dark, right-to-left, forced colors, and 320 pixels wide."""
import sys
from pathlib import Path

sys.path.insert(0, 'benchmarks')
from tab import BACK, ELEMENT, opened

LOOKS = dict(
    light=dict(color_scheme='light'),
    dark=dict(color_scheme='dark'),
    rtl=dict(color_scheme='light'),
    narrow=dict(color_scheme='light', viewport=dict(width=320, height=640)),
    forced=dict(forced_colors='active'),
)


def main(site, out, *queries):
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for look, window in LOOKS.items():
        with opened(Path(site), **(dict(viewport=dict(width=900, height=700)) | window)) as tab:
            if look == 'rtl': tab.evaluate("document.documentElement.dir = 'rtl'")
            tab.screenshot(path=folder / f'{look}-start.png')
            for number, query in enumerate(queries, 1):
                tab.evaluate(BACK, [query])
                tab.evaluate(f'{ELEMENT}.focus()')
                tab.keyboard.press('ArrowDown')
                tab.wait_for_timeout(300)
                tab.screenshot(path=folder / f'{look}-{number}.png')


if __name__ == '__main__': main(*sys.argv[1:])
