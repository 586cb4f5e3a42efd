// Drives Firefox for tests/test_engines.py: reads `[method, ...arguments]` in JSON from each line, answers with a line.
import puppeteer from 'puppeteer-core';
import { createInterface } from 'node:readline';

const [executablePath] = process.argv.slice(2);
const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true });
const page = await browser.newPage();

const METHODS = {
  goto: (url) => page.goto(url),
  reload: () => page.reload(),
  evaluate: (script) => page.evaluate(script),
  type: (text) => page.keyboard.type(text),
  press: (key) => page.keyboard.press(key),
  resize: (width, height) => page.setViewport({ width, height }),
};

for await (const line of createInterface(process.stdin)) {
  const [method, ...args] = JSON.parse(line);
  const reply = {};
  try {
    const value = await METHODS[method](...args);
    if (method === 'evaluate') reply.value = value;
  } catch (error) {
    reply.error = String(error);
  }
  console.log(JSON.stringify(reply));
}
await browser.close();
