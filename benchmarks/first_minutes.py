"""Watch the first minutes of `make demo` in a browser.

    python benchmarks/first_minutes.py [--minutes 5] [--query 'tb of the heart'] [--keep runs/demo]

Clones the last commit, starts `make demo` there, opens the page in Chromium as soon as it is served, types a query and
leaves the page alone. Every 15 seconds it takes a screenshot. Writes `results/first_minutes.json`: the seconds from
the end of the installation to each version of the page, the seconds of each stage and the peak memory; and
`first_minutes.webp`, a contact sheet. The run goes on until its last version is shown, or `--longest` minutes have
passed; then it is stopped. `--keep` moves the run there."""
import argparse
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from PIL import Image, ImageDraw
from tab import ELEMENT, chromium
from traces import RESULTS, write_result

MEASURES = ('embedding_search/pipeline.py', 'embedding_search/cli.py', 'embedding_search/search/site.py',
            'web/src/**/*.ts')
EVERY = 15 # Seconds between two screenshots
COLUMNS = 4
WIDTH = 480 # Of a screenshot in the contact sheet
STATE = f"""(() => {{
  const {{ status, shadowRoot }} = {ELEMENT};
  const first = shadowRoot?.querySelector('.id')?.textContent ?? '';
  const line = document.getElementById('live')?.textContent ?? '';
  return {{ version: status.version, tier: status.tier, live: status.info?.live ?? '', line, first }};
}})()"""


class Demo:
    "`make demo` in a clone."

    def __init__(self, clone):
        environment = os.environ | dict(BROWSER='true')
        self.start = time.monotonic()
        self.installed = None # Seconds until the first stage
        self.process = subprocess.Popen(['make', 'demo'], cwd=clone, stdout=subprocess.PIPE, text=True,
                                        env=environment, start_new_session=True)
        self.url = ''
        self.lines = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            if not self.installed and line.startswith('catalog '):
                self.installed = self.seconds()
                self.lines = [] # The installation names folders of this machine
            self.lines.append(line.rstrip())
            print(f'{self.seconds():6.1f} s  {line}', end='', flush=True)
            address = re.search(r'http://127\.0\.0\.1:\d+/', line)
            if address: self.url = address[0]

    def seconds(self): return round(time.monotonic() - self.start, 1)

    def wait_for_page(self):
        "Wait until the page is served."
        while not self.url:
            if self.process.poll() is not None: raise SystemExit(f'the run failed: {self.lines[-5:]}')
            time.sleep(.1)

    def stop(self):
        if self.process.poll() is None: os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(60)


def watch(demo, tab, minutes, longest):
    """Look at the page every second; return the versions that were seen, and the screenshots with their seconds.

    Seconds count from the end of the installation."""
    versions = []
    shots = []
    seconds = 0
    while demo.process.poll() is None and seconds < 60 * longest:
        state = tab.evaluate(STATE)
        seconds = round(demo.seconds() - demo.installed, 1)
        seen = state['version'], state['tier']
        if not versions or seen != (versions[-1]['version'], versions[-1]['tier']):
            versions.append(state | dict(seconds=seconds))
        is_due = not shots or seconds >= shots[-1][0] + EVERY
        if is_due and seconds <= 60 * minutes: shots.append((seconds, tab.screenshot()))
        is_final = state['version'] and not state['live']
        if is_final and state['tier'] != 'keyword' and seconds > 60 * minutes: break
        time.sleep(1)
    return versions, shots


def first_seconds(versions, condition):
    "Return when the first version with a property was shown; `None` if none was."
    return next((version['seconds'] for version in versions if version['version'] and condition(version)), None)


def contact_sheet(shots, path):
    "Draw the screenshots in rows, each with its time."
    images = []
    for _, png in shots:
        image = Image.open(io.BytesIO(png)).convert('RGB')
        images.append(image.resize((WIDTH, round(image.height * WIDTH / image.width))))
    height = images[0].height + 24
    sheet = Image.new('RGB', (COLUMNS * WIDTH, math.ceil(len(images) / COLUMNS) * height), 'white')
    draw = ImageDraw.Draw(sheet)
    for n, ((seconds, _), image) in enumerate(zip(shots, images, strict=True)):
        row, column = divmod(n, COLUMNS)
        draw.text((column * WIDTH + 8, row * height + 6), f'{seconds:.0f} s', fill='black')
        sheet.paste(image, (column * WIDTH, row * height + 24))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def stage_facts(run):
    "Return the seconds of each stage of a run, and its peak memory in GiB."
    manifest = json.loads((run/'manifest.json').read_text())
    stages = {name: entry for name, entry in manifest.items() if isinstance(entry, dict) and 'seconds' in entry}
    return dict(stages={name: entry['seconds'] for name, entry in stages.items()},
                peak_gib=max(entry['peak_gib'] for entry in stages.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--minutes', type=float, default=5, help='minutes of screenshots')
    parser.add_argument('--longest', type=float, default=30, help='minutes after which the run is stopped')
    parser.add_argument('--query', default='heart infected by tb')
    parser.add_argument('--keep', type=Path, help='folder for the finished run; an old one is deleted')
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    clone = folder/'clone'
    subprocess.run(['git', 'clone', '-q', '.', clone], check=True)
    demo = Demo(clone)
    try:
        demo.wait_for_page()
        with chromium() as browser:
            tab = browser.new_page(viewport=dict(width=960, height=720))
            tab.goto(demo.url)
            tab.keyboard.type(args.query)
            first_page = round(demo.seconds() - demo.installed, 1)
            versions, shots = watch(demo, tab, args.minutes, args.longest)
        facts = stage_facts(clone/'runs'/'demo')
        if args.keep:
            shutil.rmtree(args.keep, ignore_errors=True)
            shutil.move(clone/'runs'/'demo', args.keep)
    finally:
        demo.stop()
        shutil.rmtree(folder, ignore_errors=True)
    contact_sheet(shots, RESULTS/'first_minutes.webp')
    write_result('first_minutes', dict(
        install=demo.installed,
        first_page=first_page,
        first_results=first_seconds(versions, lambda version: version['first']),
        first_by_meaning=first_seconds(versions, lambda version: version['tier'] not in ('none', 'keyword')),
        trained=first_seconds(versions, lambda version: version['live'].endswith(', trained')),
        final_version=first_seconds(versions, lambda version: not version['live']),
        **facts,
        versions=versions,
        lines=demo.lines,
    ), MEASURES)


if __name__ == '__main__': main()
