// <embedding-search base="…">: a combobox over createSearch.
import css from './element.css?inline';
import { createSearch } from './index.js';
import { STRINGS } from './strings.js';

const K = 10, MORE = 20, ANNOUNCE = 700, SETTLED = 1000;
const ICON = 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5.2 12.2L21 21';

/** @param {string} tag @param {Record<string, any>} [props] @param {...(Node|string)} kids */
function el(tag, props = {}, ...kids) {
  const e = tag === 'svg' || tag === 'path' ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(props)) if (k.includes('-') || k === 'role' || k === 'd' || k === 'viewBox' || k === 'for') e.setAttribute(k, v); else /** @type {any} */ (e)[k] = v;
  e.append(...kids);
  return /** @type {any} */ (e);
}

/** Title as text nodes, matched words in <mark>: nothing of a catalog is ever parsed as HTML. @param {string} title @param {Array<[number, number]>} marks */
function marked(title, marks) {
  const out = /** @type {any[]} */ ([]), last = marks.reduce((at, [a, b]) => { if (a > at) out.push(title.slice(at, a)); out.push(el('mark', { textContent: title.slice(a, b) })); return b; }, 0);
  return [...out, title.slice(last)];
}

export class EmbeddingSearch extends HTMLElement {
  static observedAttributes = ['base', 'placeholder', 'label'];
  #hits = /** @type {any[]} */ ([]); #active = -1; #category = ''; #k = K; #abort = /** @type {AbortController|null} */ (null); #timer = 0; #composing = false; #shown = ''; #started = false;
  #pending = /** @type {{query: string, shown: string[], version: string, at: number}|null} */ (null);
  #chips = /** @type {any[]} */ ([]);
  /** @type {import('./types').Search|null} */ search = null;
  /** @type {any} */ status = { state: 'loading', tier: 'none', progress: null, message: '', stored: true };
  #strings = STRINGS;

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open', delegatesFocus: true }), sheet = new CSSStyleSheet();
    sheet.replaceSync(css); root.adoptedStyleSheets = [sheet];
    this.input = el('input', { id: 'q', type: 'search', role: 'combobox', autocomplete: 'off', spellcheck: false, dir: 'auto', enterKeyHint: 'search', maxLength: 1000,
      'aria-expanded': 'false', 'aria-controls': 'hits', 'aria-autocomplete': 'list', autocapitalize: 'none' });
    this.list = el('ul', { id: 'hits', role: 'listbox', hidden: true });
    this.clear = el('button', { className: 'clear', type: 'button', textContent: '×', hidden: true });
    this.bar = el('progress', { max: 1, hidden: true }); this.chips = el('div', { className: 'chips', role: 'group', hidden: true });
    this.count = el('span', { className: 'count', dir: 'auto' }); this.state = el('span', { className: 'state', dir: 'auto' }); this.line = el('div', { className: 'line' }, this.count, this.state);
    this.note = el('p', { className: 'note', role: 'note', dir: 'auto', hidden: true }); this.empty = el('div', { className: 'empty', dir: 'auto', hidden: true });
    this.more = el('button', { className: 'more', type: 'button', hidden: true }); this.live = el('div', { className: 'hush', role: 'status' });
    root.append(el('div', { className: 'field' }, el('svg', { viewBox: '0 0 24 24', 'aria-hidden': 'true' }, el('path', { d: ICON })), this.input, this.clear, this.bar),
      this.line, this.note, this.chips, this.list, this.empty, this.more, this.live);
    this.#words(); this.#listen();
  }

  get strings() { return this.#strings; }
  set strings(s) { this.#strings = { ...STRINGS, ...s }; this.#words(); this.#showStatus(); }

  get value() { return this.input.value; }
  set value(s) { this.input.value = s; this.#changed(); }

  connectedCallback() { if (!this.#started) { this.#started = true; this.#start(); } }
  attributeChangedCallback() { this.#words(); }
  disconnectedCallback() { this.#flush(); }

  #words() {
    const s = this.#strings;
    this.input.placeholder = this.getAttribute('placeholder') ?? s.placeholder; this.input.setAttribute('aria-label', this.getAttribute('label') ?? s.label);
    this.clear.setAttribute('aria-label', s.clear); this.list.setAttribute('aria-label', s.results); this.chips.setAttribute('aria-label', s.categories); this.more.textContent = s.more;
    this.bar.setAttribute('aria-label', s.preparing);
    if (!this.value) this.#showEmpty(false, '');
  }

  async #start() {
    this.#showStatus();
    try {
      this.search = await createSearch({ base: this.getAttribute('base') ?? './', threads: Number(this.getAttribute('threads') ?? 1), semantic: this.getAttribute('tiers') !== 'keyword',
        serviceWorker: this.getAttribute('service-worker') !== 'off', onstatus: s => this.#onstatus(s) });
      this.dispatchEvent(new CustomEvent('ready'));
      this.#ask();
    } catch (e) { this.#onstatus({ ...this.status, state: 'error', message: /** @type {any} */ (e).message }); }
  }

  /** @param {any} s */
  #onstatus(s) {
    const better = this.status.tier !== s.tier || this.status.version !== s.version;
    this.status = s; this.#showStatus(); this.dispatchEvent(new CustomEvent('status', { detail: s }));
    if (better && this.search && this.value.trim() && this.#active < 0) this.#ask();
  }

  #showStatus() {
    const { state, progress, message, stored } = this.status, s = this.#strings;
    const percent = progress ? Math.floor(100 * progress.received / progress.total) : 0;
    const [wait, begin] = this.status.tier === 'keyword' ? [s.learning, s.preparing] : [s.improving, s.refining];
    this.state.textContent = state === 'loading' ? this.status.tier === 'none' ? s.loading : progress ? wait(percent) : begin : '';
    this.bar.hidden = state !== 'loading'; if (progress) this.bar.value = progress.received / progress.total; else this.bar.removeAttribute('value');
    const say = state === 'error' || state === 'degraded' ? message : !stored ? s.notStored : '';
    if (this.note.textContent !== say) this.note.textContent = say;
    this.note.hidden = !say;
  }

  #listen() {
    const i = this.input;
    i.addEventListener('compositionstart', () => { this.#composing = true; });
    i.addEventListener('compositionend', () => { this.#composing = false; this.#changed(); });
    i.addEventListener('input', (/** @type {any} */ e) => { if (!e.isComposing && !this.#composing) this.#changed(); });
    i.addEventListener('keydown', (/** @type {KeyboardEvent} */ e) => this.#key(e));
    this.clear.addEventListener('click', () => { this.value = ''; i.focus(); });
    this.list.addEventListener('mousedown', (/** @type {Event} */ e) => e.preventDefault());
    this.list.addEventListener('click', (/** @type {any} */ e) => {
      const li = e.target.closest('li'), at = [...this.list.children].indexOf(li); if (at < 0) return;
      if (e.target.closest('.fold')) this.#unfold(at); else { this.#activate(at); this.#pick(); }
    });
    this.chips.addEventListener('click', (/** @type {any} */ e) => {
      const b = e.target.closest('button'); if (!b) return;
      this.#category = b.value === this.#category ? '' : b.value; this.#k = K; this.#ask();
    });
    this.more.addEventListener('click', () => { this.#k += MORE; this.#ask(); i.focus(); });
    addEventListener('pagehide', () => this.#flush());
  }

  #changed() { this.#k = K; this.clear.hidden = !this.input.value; this.#ask(); }

  /** Ask, and show what comes unless something newer was asked meanwhile. */
  async #ask() {
    const text = this.input.value, from = performance.now();
    this.#abort?.abort();
    if (!text.trim()) { this.#category = ''; this.#flush(); return this.#show({ hits: [], categories: [], query: '' }); }
    if (!this.search) return;
    const mine = this.#abort = new AbortController(), category = this.#category;
    const show = (/** @type {any} */ r) => { if (this.#abort === mine) { this.#show(r, category); this.dispatchEvent(new CustomEvent('results', { detail: { ...r, total: performance.now() - from } })); } };
    try { await this.search.query(text, { k: this.#k, category, signal: mine.signal, ontier: show }); }
    catch (e) { if (this.#abort === mine && !mine.signal.aborted) { this.note.textContent = /** @type {any} */ (e).message; this.note.hidden = false; } }
  }

  /** @param {any} r @param {string} [category] */
  #show(r, category = '') {
    const s = this.#strings, asked = !!r.query?.trim();
    this.#hits = r.hits; this.#active = -1; this.input.removeAttribute('aria-activedescendant');
    this.list.replaceChildren(...r.hits.map((/** @type {any} */ h, /** @type {number} */ i) => this.#option(h, i)));
    this.list.hidden = !r.hits.length; this.input.setAttribute('aria-expanded', String(!!r.hits.length));
    this.#showEmpty(asked, category);
    this.count.textContent = asked && r.hits.length ? `${s.found(r.hits.length)} ${s.by[r.tier] ?? s.by.other} · ${Math.max(1, Math.round(r.ms))} ms` : '';
    this.more.hidden = r.hits.length < this.#k || this.#k >= K + 2 * MORE;
    if (!category) this.#chips = r.categories;
    this.#showChips(category, asked);
    clearTimeout(this.#timer);
    if (asked) this.#timer = window.setTimeout(() => this.#settled(r), ANNOUNCE); else this.live.textContent = '';
  }

  /** @param {boolean} asked @param {string} category */
  #showEmpty(asked, category) {
    const s = this.#strings; this.empty.hidden = !!this.#hits.length;
    this.empty.replaceChildren(el('strong', { textContent: asked ? s.none : s.start }), asked ? category ? s.noneCategory : s.noneHint : s.startHint);
  }

  /** @param {string} category @param {boolean} asked */
  #showChips(category, asked) {
    const s = this.#strings, names = [...new Set([...(category ? [category] : []), ...this.#chips.map(c => c.name)])], many = names.length > 1 || !!category;
    this.chips.hidden = !asked || !many;
    const key = JSON.stringify([category, names]); if (key === this.#shown) return; this.#shown = key;
    const focused = this.shadowRoot?.activeElement?.parentNode === this.chips ? /** @type {any} */ (this.shadowRoot?.activeElement).value : null;
    this.chips.replaceChildren(...[['', s.all], ...names.map(n => [n, n])].map(([value, label]) => el('button', { type: 'button', value, textContent: label, title: label, dir: 'auto', 'aria-pressed': String(value === category) })));
    if (focused !== null) /** @type {any} */ ([...this.chips.children].find(b => /** @type {any} */ (b).value === focused))?.focus();
  }

  /** Said once, when typing has paused; and from here on the query counts as asked. @param {any} r */
  #settled(r) {
    this.live.textContent = this.#strings.announce(r.hits.length, r.hits[0]?.title ?? '');
    if (this.#pending?.query !== r.query) this.#flush();
    this.#pending = { query: r.query, shown: r.hits.map((/** @type {any} */ h) => h.id), version: r.version, at: performance.now() };
  }

  /** A query that was left without a pick is logged as such; the worker keeps it only if logging is on. */
  #flush() {
    const p = this.#pending; this.#pending = null;
    if (p && this.search && performance.now() - p.at >= SETTLED) this.#log({ query: p.query, shown: p.shown, picked: null, version: p.version });
  }

  /** @param {any} event */
  #log(event) { this.search?.log(event).then(() => this.dispatchEvent(new CustomEvent('logged')), () => {}); }

  /** @param {any} h @param {number} i @param {boolean} [variant] */
  #option(h, i, variant = false) {
    const under = [];
    if (h.category && h.category !== h.title && !variant) under.push(el('span', { className: 'category', dir: 'auto', textContent: h.category }));
    if (h.variants && !variant) under.push(el('span', { className: 'fold', dir: 'auto', textContent: this.#strings.variants(h.variants) }));
    if (h.text && !variant) under.push(el('span', { className: 'text', dir: 'auto', textContent: h.text }));
    const li = el('li', { id: `hit-${h.id}-${i}`, role: 'option', className: variant ? 'variant' : '', 'aria-selected': 'false' },
      el('span', { className: 'title', dir: 'auto' }, ...marked(h.title, h.marks)), el('span', { className: 'id', textContent: h.id, title: h.id }), ...(under.length ? [el('span', { className: 'under' }, ...under)] : []));
    li.hit = h;
    return li;
  }

  /** @param {number} at */
  #activate(at) {
    const all = /** @type {any[]} */ ([...this.list.children]); if (!all.length) return;
    all[this.#active]?.setAttribute('aria-selected', 'false');
    this.#active = at < -1 ? all.length - 1 : at >= all.length ? -1 : at;
    if (this.#active < 0) return this.input.removeAttribute('aria-activedescendant');
    all[this.#active].setAttribute('aria-selected', 'true'); this.input.setAttribute('aria-activedescendant', all[this.#active].id);
    all[this.#active].scrollIntoView({ block: 'nearest' });
  }

  /** @param {KeyboardEvent} e */
  #key(e) {
    if (e.isComposing || this.#composing || e.ctrlKey || e.metaKey || e.altKey) return;
    const at = this.#active, n = this.list.children.length, rtl = getComputedStyle(this.input).direction === 'rtl';
    const open = rtl ? 'ArrowLeft' : 'ArrowRight', close = rtl ? 'ArrowRight' : 'ArrowLeft';
    if (e.key === 'ArrowDown' && n) this.#activate(at + 1);
    else if (e.key === 'ArrowUp' && n) this.#activate(at < 0 ? -2 : at - 1);
    else if (e.key === 'Home' && at >= 0) this.#activate(0);
    else if (e.key === 'End' && at >= 0) this.#activate(n - 1);
    else if (e.key === 'Enter' && n) { if (at < 0) this.#activate(0); this.#pick(); }
    else if (e.key === open && at >= 0 && this.#folds(at)) this.#unfold(at, true);
    else if (e.key === close && at >= 0 && this.#folds(at)) this.#unfold(at, false);
    else if (e.key === 'Escape' && (at >= 0 || this.value)) { if (at >= 0) this.#activate(-1); else this.value = ''; }
    else return;
    e.preventDefault();
  }

  /** @param {number} at */
  #folds(at) { const li = /** @type {any} */ (this.list.children[at]); return li.hit.variants > 0 && !li.classList.contains('variant'); }

  /** Show or hide the other rows of a family, below it. @param {number} at @param {boolean} [open] */
  async #unfold(at, open) {
    const li = /** @type {any} */ (this.list.children[at]), want = open ?? !('open' in li.dataset);
    if (want === 'open' in li.dataset) return;
    if (!want) { delete li.dataset.open; while (li.nextSibling?.classList.contains('variant')) li.nextSibling.remove(); return; }
    li.dataset.open = '';
    const found = await this.search?.variants(li.hit.id, { text: this.value }) ?? [];
    if (li.isConnected && 'open' in li.dataset) li.after(...found.map((/** @type {any} */ h, /** @type {number} */ i) => this.#option(h, i, true)));
  }

  #pick() {
    const li = /** @type {any} */ (this.list.children[this.#active]); if (!li || !this.search) return;
    const event = { query: this.value, shown: this.#hits.map(h => h.id), picked: li.hit.id, version: this.status.version };
    this.#pending = null; clearTimeout(this.#timer);
    this.#log(event);
    this.dispatchEvent(new CustomEvent('pick', { detail: li.hit, bubbles: true, composed: true }));
  }
}

if (globalThis.customElements && !customElements.get('embedding-search')) customElements.define('embedding-search', EmbeddingSearch);
