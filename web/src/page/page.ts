// The page around the element: the catalog's name, deep links, what a pick does, and the switch of the log.
import '../embedding-search';
import './page.css';
import { followRun } from './live';

const LINK_AFTER = 400;
const TOAST_TIME = 2600;

/** An element of the page that must be there. */
function byId(id: string): HTMLElement {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

function findSearch() {
  const element = document.querySelector('embedding-search');
  if (!element) throw new Error('the page has no <embedding-search>');
  return element;
}

const element = findSearch();
const endpoint = document.querySelector<HTMLMetaElement>('meta[name=log-endpoint]')?.content ?? '';
const toastBox = byId('toast');
const logSwitch = byId('log');

function format(count: number): string {
  return count.toLocaleString();
}

let toastTimer = 0;
function toast(text: string): void {
  toastBox.textContent = text;
  toastBox.classList.add('on');
  clearTimeout(toastTimer);
  toastTimer = window.setTimeout(() => toastBox.classList.remove('on'), TOAST_TIME);
}

element.addEventListener('status', ({ detail: { info } }) => {
  if (!info) return;
  const families = info.families < info.rows ? ` in ${format(info.families)} families` : '';
  byId('about').textContent = `${info.name} · ${format(info.rows)} entries${families}, searched on your device.`;
});

followRun(element, byId('live'));

// A pick opens the entry if there is a link to it; else it copies the id.

async function copyId(id: string, title: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(id);
    toast(`Copied ${id} – ${title}`);
  } catch {
    toast(`${id} – ${title}`);
  }
}

element.addEventListener('pick', ({ detail: { id, title } }) => {
  if (!element.link) void copyId(id, title);
});
element.addEventListener('copied', ({ detail: { id, title } }) => toast(`Copied ${id} – ${title}`));

// `?q=` in the address is the query, so that a search can be bookmarked and shared.

let linkTimer = 0;

function updateAddress(): void {
  const url = new URL(location.href);
  if (element.value.trim()) url.searchParams.set('q', element.value);
  else url.searchParams.delete('q');
  history.replaceState(null, '', url);
}

element.addEventListener('input', () => {
  clearTimeout(linkTimer);
  linkTimer = window.setTimeout(updateAddress, LINK_AFTER);
});
element.addEventListener('results', () => {
  clearTimeout(linkTimer);
  linkTimer = window.setTimeout(updateAddress, LINK_AFTER);
});
const linked = new URLSearchParams(location.search).get('q');
if (linked) element.value = linked;

// The log

function isLogOn(): boolean {
  return logSwitch.getAttribute('aria-checked') === 'true';
}

async function showLog(on: boolean): Promise<void> {
  logSwitch.setAttribute('aria-checked', String(on));
  const log = (await element.search?.exportLog()) ?? '';
  const count = log.split('\n').length - 1;
  byId('kept').textContent = on || count ? `${format(count)} ${count === 1 ? 'search' : 'searches'} kept` : '';
  byId('export').hidden = !count;
  byId('forget').hidden = !count;
  byId('send').hidden = !count || !endpoint;
}

async function switchLog(on?: boolean): Promise<void> {
  if (element.search) await showLog(await element.search.logging(on));
}

async function sendLog(): Promise<void> {
  if (!element.search) return;
  try {
    toast(`${format(await element.search.sendLog(endpoint))} searches sent`);
  } catch (error) {
    toast(`Not sent: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function saveLog(): Promise<void> {
  const log = (await element.search?.exportLog()) ?? '';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([log], { type: 'application/x-ndjson' }));
  link.download = 'searches.jsonl';
  link.click();
  URL.revokeObjectURL(link.href);
}

async function deleteLog(): Promise<void> {
  await element.search?.clearLog();
  await switchLog();
  logSwitch.focus();
}

element.addEventListener('ready', () => void switchLog());
element.addEventListener('logged', () => {
  if (isLogOn()) void showLog(true);
});
logSwitch.addEventListener('click', () => void switchLog(!isLogOn()));
byId('send').addEventListener('click', () => void sendLog());
byId('export').addEventListener('click', () => void saveLog());
byId('forget').addEventListener('click', () => void deleteLog());

addEventListener('keydown', (event) => {
  if (event.key !== '/' || document.activeElement === element || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  element.focus();
});
element.focus();
