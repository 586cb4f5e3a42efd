// The page around the element: the catalog's name, what a pick does, and the switch of the log.
import './embedding-search.js';
import './page.css';

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id)), search = /** @type {any} */ (document.querySelector('embedding-search'));
const n = (/** @type {number} */ x) => x.toLocaleString();
const endpoint = /** @type {HTMLMetaElement|null} */ (document.querySelector('meta[name=log-endpoint]'))?.content ?? '';
let timer = 0;

/** @param {string} text */
function toast(text) { $('toast').textContent = text; $('toast').classList.add('on'); clearTimeout(timer); timer = window.setTimeout(() => $('toast').classList.remove('on'), 2600); }

search.addEventListener('status', (/** @type {any} */ e) => {
  const i = e.detail.info; if (!i) return;
  $('about').textContent = `${i.name} · ${n(i.rows)} entries${i.families < i.rows ? ` in ${n(i.families)} families` : ''}, searched on your device.`;
});

search.addEventListener('pick', async (/** @type {any} */ e) => {
  const { id, title } = e.detail;
  try { await navigator.clipboard.writeText(id); toast(`Copied ${id} – ${title}`); } catch { toast(`${id} – ${title}`); }
});

/** @param {boolean} on */
async function showLog(on) {
  $('log').setAttribute('aria-checked', String(on));
  const lines = (await search.search.exportLog()).split('\n').length - 1;
  $('kept').textContent = on || lines ? `${n(lines)} ${lines === 1 ? 'search' : 'searches'} kept` : '';
  $('export').hidden = $('forget').hidden = !lines; $('send').hidden = !lines || !endpoint;
}

search.addEventListener('logged', () => { if ($('log').getAttribute('aria-checked') === 'true') showLog(true); });
search.addEventListener('ready', async () => showLog(await search.search.logging()));
$('log').addEventListener('click', async () => { if (search.search) showLog(await search.search.logging($('log').getAttribute('aria-checked') !== 'true')); });
$('forget').addEventListener('click', async () => { await search.search.clearLog(); await showLog(await search.search.logging()); $('log').focus(); });
$('send').addEventListener('click', async () => { try { toast(`${n(await search.search.sendLog(endpoint))} searches sent`); } catch (e) { toast(`Not sent: ${/** @type {any} */ (e).message}`); } });
$('export').addEventListener('click', async () => {
  const url = URL.createObjectURL(new Blob([await search.search.exportLog()], { type: 'application/x-ndjson' }));
  const a = Object.assign(document.createElement('a'), { href: url, download: 'searches.jsonl' }); a.click(); URL.revokeObjectURL(url);
});

addEventListener('keydown', e => { if (e.key === '/' && document.activeElement !== search && !(e.target instanceof HTMLInputElement)) { e.preventDefault(); search.focus(); } });
search.focus();
