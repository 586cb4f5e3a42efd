// <embedding-search base="…">: a combobox over createSearch.
import { html, nothing, unsafeCSS, type PropertyDeclarations, type PropertyValues } from 'lit';
import { live } from 'lit/directives/live.js';
import { createRef, ref } from 'lit/directives/ref.js';
import { repeat } from 'lit/directives/repeat.js';
import { causeOf } from '../engine/errors';
import { endStage } from '../engine/timing';
import type { CategoryCount, Hit, LoggedSearch, Results, Search, Status } from '../engine/types';
import { createSearch, FIRST_STATUS } from '../worker/client';
import type { EmbeddingSearchEventMap } from './api';
import { renderEntry, renderTemplate } from './entry';
import { FormField } from './form-field';
import { PendingSearch } from './pending';
import { addedIds, fillLink, keepInPlace, listRows, type Row } from './rows';
import { stringsFor, type Strings } from './strings';
import css from './style.css?inline';

const FIRST_K = 10;
const MORE_K = 20;
const MAX_K = FIRST_K + 2 * MORE_K;
const ANNOUNCE_AFTER = 700;
/** Milliseconds without new results after which the chips follow: drawing them takes as long as drawing the results. */
const CHIPS_AFTER = 150;

const MAGNIFIER = html`<svg viewBox="0 0 24 24" aria-hidden="true">
  <path d="M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zm5.2 12.2L21 21"></path>
</svg>`;

/** What is searched for, to recognize answers to the same question. */
interface Asked {
  query: string;
  category: string;
}

export class EmbeddingSearch extends FormField {
  static override shadowRootOptions: ShadowRootInit = { ...FormField.shadowRootOptions, delegatesFocus: true };
  static override styles = unsafeCSS(css);
  static override properties: PropertyDeclarations = {
    base: { type: String },
    placeholder: { type: String },
    label: { type: String },
    link: { type: String },
    threads: { type: Number },
    tiers: { type: String },
    serviceWorker: { type: String, attribute: 'service-worker' },
    value: { type: String, noAccessor: true },
    strings: { attribute: false, noAccessor: true },
    status: { attribute: false },
    results: { state: true },
    active: { state: true },
    announced: { state: true },
    failure: { state: true },
    variantsOf: { state: true },
  };

  declare base: string;
  declare placeholder: string | null;
  declare label: string | null;
  declare link: string;
  declare threads: number;
  declare tiers: string;
  declare serviceWorker: string;
  declare status: Status;
  declare private results: Results | null;
  /** Place of the selected row; -1: none. */
  declare private active: number;
  /** Said to screen readers once typing has paused. */
  declare private announced: string;
  /** Why the last query failed. */
  declare private failure: string;
  /** Variants of the hits that are open. */
  declare private variantsOf: ReadonlyMap<string, Hit[]>;

  search: Search | null = null;
  readonly #input = createRef<HTMLInputElement>();
  readonly #list = createRef<HTMLUListElement>();
  readonly #pending = new PendingSearch();
  readonly #leavePage = () => this.#logPending();
  #isStarted = false;
  #isComposing = false;
  #text = '';
  #strings = stringsFor('en');
  #ownStrings: Partial<Strings> = {};
  #category = '';
  #k = FIRST_K;
  #abort: AbortController | null = null;
  #shown: Asked = { query: '', category: '' };
  #shownAt = 0;
  #categories: CategoryCount[] = [];
  #added: ReadonlySet<string> = new Set();
  #underPointer: Hit | null = null;
  #timer = 0;
  #chipsTimer = 0;

  constructor() {
    super();
    this.base = './';
    this.placeholder = null;
    this.label = null;
    this.link = '';
    this.threads = 1;
    this.tiers = '';
    this.serviceWorker = '';
    this.status = FIRST_STATUS;
    this.results = null;
    this.active = -1;
    this.announced = '';
    this.failure = '';
    this.variantsOf = new Map();
  }

  // Properties that a page uses

  override get value(): string {
    return this.#text;
  }

  override set value(text: string) {
    this.#text = text;
    this.#changed();
    this.requestUpdate();
  }

  get strings(): Strings {
    return this.#strings;
  }

  set strings(strings: Partial<Strings>) {
    this.#ownStrings = strings;
    this.#chooseStrings();
    this.requestUpdate();
  }

  override get input(): HTMLInputElement | null {
    return this.#input.value ?? null;
  }

  protected override get requiredMessage(): string {
    return this.#strings.required;
  }

  override focus(options?: FocusOptions): void {
    if (this.hasUpdated) super.focus(options);
    else void this.updateComplete.then(() => super.focus(options)); // there is no input yet
  }

  // Life cycle

  override connectedCallback(): void {
    super.connectedCallback();
    this.#chooseStrings();
    addEventListener('pagehide', this.#leavePage);
    if (this.#isStarted) return;
    this.#isStarted = true;
    void this.#start();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    removeEventListener('pagehide', this.#leavePage);
    this.#logPending();
  }

  #chooseStrings(): void {
    const language = this.closest('[lang]')?.getAttribute('lang') ?? document.documentElement.lang;
    this.#strings = { ...stringsFor(language), ...this.#ownStrings };
  }

  async #start(): Promise<void> {
    try {
      this.search = await createSearch({
        base: this.base,
        threads: this.threads,
        semantic: this.tiers !== 'keyword',
        serviceWorker: this.serviceWorker !== 'off',
        onstatus: (status) => this.#onstatus(status),
      });
      this.#emit('ready', null);
      void this.#ask();
    } catch (error) {
      if (this.status.state === 'error') return;
      const problem = { code: 'stopped', cause: causeOf(error), tier: 'none' } as const;
      this.#onstatus({ ...this.status, state: 'error', message: causeOf(error), problem });
    }
  }

  #onstatus(status: Status): void {
    const isBetter = this.status.tier !== status.tier || this.status.version !== status.version;
    this.status = status;
    this.#emit('status', status);
    if (isBetter && this.search && this.#text.trim()) void this.#ask();
  }

  #emit<Name extends keyof EmbeddingSearchEventMap>(
    type: Name,
    detail: EmbeddingSearchEventMap[Name]['detail'],
    options: EventInit = {},
  ): boolean {
    return this.dispatchEvent(new CustomEvent(type, { detail, ...options }));
  }

  // Asking

  #changed(): void {
    this.#k = FIRST_K;
    this.setSelected(null);
    void this.#ask();
  }

  /** Ask, and show the results unless something newer was asked meanwhile. */
  async #ask(): Promise<void> {
    const query = this.#text;
    const category = this.#category;
    const start = performance.now();
    this.#abort?.abort();
    this.failure = '';
    if (!query.trim() || this.selected) {
      this.#showNothing();
      return;
    }
    if (!this.search) return;
    const abort = new AbortController();
    this.#abort = abort;

    const isReplaced = (): boolean => this.#abort !== abort;

    const show = async (results: Results): Promise<void> => {
      if (isReplaced()) return;
      const received = performance.now();
      this.#show(results, { query, category });
      await this.updateComplete;
      endStage('render', received);
      endStage('input to results', start);
      if (!isReplaced()) this.#emit('results', { ...results, total: performance.now() - start });
    };

    try {
      await this.search.query(query, {
        k: this.#k,
        category,
        signal: abort.signal,
        ontier: (results) => void show(results),
      });
    } catch (error) {
      if (!isReplaced()) this.failure = causeOf(error);
    }
  }

  #showNothing(): void {
    this.#abort = null;
    this.#category = '';
    this.#logPending();
    this.results = null;
    this.#shown = { query: '', category: '' };
    this.#forgetRows();
    clearTimeout(this.#timer);
    clearTimeout(this.#chipsTimer);
    this.#categories = [];
    this.announced = '';
  }

  #forgetRows(): void {
    this.active = -1;
    this.variantsOf = new Map();
    this.#added = new Set();
    this.#underPointer = null;
  }

  #show(results: Results, asked: Asked): void {
    const before = this.results?.hits ?? [];
    const isSame = asked.query === this.#shown.query && asked.category === this.#shown.category;
    const isVersion = results.version === this.results?.version;
    const isStillThere = results.hits.some((hit) => hit.id === this.#read?.id);
    const isRefresh = isSame && (isVersion || isStillThere) && before.length >= results.hits.length;
    if (isRefresh) results = this.#refresh(results, before);
    else this.#forgetRows();
    this.results = results;
    this.#shown = asked;
    this.#shownAt = performance.now();
    if (!asked.category) this.#offerCategories(results.categories);
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#settle(results), ANNOUNCE_AFTER);
  }

  /** Show chips at once if there are none yet, so that nothing jumps; else when typing pauses. */
  #offerCategories(categories: CategoryCount[]): void {
    clearTimeout(this.#chipsTimer);
    const show = (): void => {
      this.#categories = categories;
      this.requestUpdate();
    };
    if (this.#categories.length) this.#chipsTimer = window.setTimeout(show, CHIPS_AFTER);
    else show();
  }

  /** The hit that somebody reads. */
  get #read(): Hit | null {
    return this.#activeRow?.hit ?? this.#underPointer;
  }

  /** Something better has answered the same query: the row that somebody reads stays, and new ones are marked. */
  #refresh(results: Results, before: Hit[]): Results {
    const reading = this.#read;
    const read = before.find((hit) => hit.family === reading?.family);
    const hits = read ? keepInPlace(results.hits, before, read.id) : results.hits;
    const wasRead = performance.now() - this.#shownAt > ANNOUNCE_AFTER;
    this.#added = wasRead ? addedIds(hits, before) : new Set();
    const shown = new Set(hits.map((hit) => hit.id));
    this.variantsOf = new Map([...this.variantsOf].filter(([id]) => shown.has(id)));
    this.active = this.active < 0 ? -1 : listRows(hits, this.variantsOf).findIndex(({ hit }) => hit.id === reading?.id);
    return { ...results, hits };
  }

  /** Typing has paused: say what was found; from here on the query counts as asked. */
  #settle({ query, hits, close, version }: Results): void {
    const found = this.#strings.announce(hits.length, hits.at(0)?.title ?? '');
    this.announced = close ? found : `${this.#strings.notClose} ${found}`;
    if (this.#pending.query !== query) this.#logPending();
    this.#pending.set({ query, shown: hits.map((hit) => hit.id), version });
  }

  #logPending(): void {
    const search = this.#pending.take();
    if (search) void this.#log(search);
  }

  /** Log a search; the worker keeps it only if logging is on. */
  async #log(search: LoggedSearch): Promise<void> {
    try {
      await this.search?.log(search);
    } catch {
      return; // the worker has stopped, which the status says
    }
    this.#emit('logged', null);
  }

  // Choosing

  get #rows(): Row[] {
    return listRows(this.results?.hits ?? [], this.variantsOf);
  }

  get #activeRow(): Row | undefined {
    return this.active < 0 ? undefined : this.#rows.at(this.active);
  }

  /** Select a row; beyond either end, none. */
  #activate(row: number): void {
    this.active = row < this.#rows.length ? row : -1;
  }

  #pick(row: Row, inNewTab = false): void {
    if (!this.search) return;
    const shown = this.results?.hits.map((hit) => hit.id) ?? [];
    this.#pending.clear();
    clearTimeout(this.#timer);
    void this.#log({ query: this.#text, shown, picked: row.hit.id, version: this.status.version });
    const isAllowed = this.#emit('pick', row.hit, { bubbles: true, composed: true, cancelable: true });
    const href = fillLink(this.link, row.hit, document.baseURI);
    if (isAllowed && href) window.open(href, inNewTab ? '_blank' : '_self', 'noreferrer');
    if (!this.name) return;
    this.choose(row.hit);
    this.dispatchEvent(new Event('change', { bubbles: true }));
  }

  protected override choose(hit: Hit): void {
    this.#text = hit.title;
    this.setSelected(hit);
    this.#showNothing();
    this.requestUpdate();
  }

  /** Show or hide the other rows of a family, below it. */
  async #unfold({ hit }: Row, open = !this.variantsOf.has(hit.id)): Promise<void> {
    if (open === this.variantsOf.has(hit.id)) return;
    const others = new Map(this.variantsOf);
    others.delete(hit.id);
    this.variantsOf = open ? others.set(hit.id, []) : others;
    if (!open || !this.search) return;
    const variants = await this.search.variants(hit.id, { text: this.#text });
    if (this.variantsOf.has(hit.id)) this.variantsOf = new Map(this.variantsOf).set(hit.id, variants);
  }

  #onkeydown(event: KeyboardEvent): void {
    if (event.isComposing || this.#isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (this.#handleKey(event.key)) event.preventDefault();
  }

  /** Do what a key stands for; false if that is nothing. */
  #handleKey(key: string): boolean {
    const rows = this.#rows;
    const row = this.#activeRow;
    const canUnfold = row && row.hit.variants > 0 && !row.isVariant;
    switch (this.#logicalKey(key)) {
      case 'ArrowDown':
        if (rows.length) this.#activate(this.active + 1);
        return rows.length > 0;
      case 'ArrowUp':
        if (rows.length) this.#activate(this.active < 0 ? rows.length - 1 : this.active - 1);
        return rows.length > 0;
      case 'Home':
        if (row) this.#activate(0);
        return !!row;
      case 'End':
        if (row) this.#activate(rows.length - 1);
        return !!row;
      case 'Enter':
        if (rows.length && !row) this.#activate(0);
        if (rows.length) this.#pick(row ?? rows[0]);
        return rows.length > 0;
      case 'Open':
      case 'Close':
        if (canUnfold) void this.#unfold(row, this.#logicalKey(key) === 'Open');
        return !!canUnfold;
      case 'Escape':
        if (row) this.active = -1;
        else if (this.#text) this.value = '';
        else return false;
        return true;
      default:
        return false;
    }
  }

  /** The arrow keys that open and close depend on the direction of the text. */
  #logicalKey(key: string): string {
    if (key !== 'ArrowLeft' && key !== 'ArrowRight') return key;
    const isRtl = this.input && getComputedStyle(this.input).direction === 'rtl';
    return (key === 'ArrowRight') === !isRtl ? 'Open' : 'Close';
  }

  #oninput(): void {
    this.#text = this.input?.value ?? '';
    if (!this.#isComposing) this.#changed();
    this.requestUpdate();
  }

  #oncompositionend(): void {
    this.#isComposing = false;
    this.#oninput();
  }

  /** The copy key copies the id of the selected entry, unless text of the input is selected. */
  #oncopy(event: ClipboardEvent): void {
    const row = this.#activeRow;
    if (!row || !event.clipboardData || this.input?.selectionStart !== this.input?.selectionEnd) return;
    event.preventDefault();
    event.clipboardData.setData('text/plain', row.hit.id);
    this.announced = this.#strings.copied(row.hit.id);
    this.#emit('copied', row.hit);
  }

  #chooseCategory(name: string): void {
    this.#category = name === this.#category ? '' : name;
    this.#k = FIRST_K;
    void this.#ask();
    this.requestUpdate();
  }

  #showMore(): void {
    this.#k += MORE_K;
    void this.#ask();
    this.input?.focus();
  }

  #clear(): void {
    this.value = '';
    this.input?.focus();
  }

  // Rendering

  protected override updated(changed: PropertyValues): void {
    super.updated(changed);
    if (changed.has('active') && this.active >= 0) {
      this.#list.value?.children[this.active]?.scrollIntoView({ block: 'nearest' });
    }
  }

  protected override render() {
    const note = this.#note;
    return html`
      ${this.#renderField()}
      <div class="line" part="line">
        <span class="count" part="count" dir="auto">${this.#count}</span>
        <span class="state" part="state" dir="auto">${this.#progressText}</span>
      </div>
      <p class="note" part="note" role="note" dir="auto" ?hidden=${!note}>${note}</p>
      ${this.#renderSuggestion()} ${this.#renderNotClose()} ${this.#renderChips()} ${this.#renderList()}
      ${this.#renderEmpty()}
      <button class="more" part="more" type="button" ?hidden=${!this.#hasMore} @click=${() => this.#showMore()}>
        ${this.#strings.more}
      </button>
      <div class="hush" role="status">${this.announced}</div>
    `;
  }

  #renderField() {
    const strings = this.#strings;
    const { state, progress } = this.status;
    const isOpen = this.#rows.length > 0;
    return html`<div class="field" part="field">
      ${MAGNIFIER}
      <input
        ${ref(this.#input)}
        id="q"
        part="input"
        type="search"
        role="combobox"
        autocomplete="off"
        autocapitalize="none"
        spellcheck="false"
        dir="auto"
        enterkeyhint="search"
        maxlength="1000"
        aria-autocomplete="list"
        aria-controls="hits"
        aria-expanded=${isOpen ? 'true' : 'false'}
        aria-activedescendant=${this.active >= 0 ? `hit-${this.active}` : nothing}
        aria-label=${this.label ?? strings.label}
        placeholder=${this.placeholder ?? strings.placeholder}
        ?disabled=${this.disabled}
        .value=${live(this.#text)}
        @input=${() => this.#oninput()}
        @keydown=${(event: KeyboardEvent) => this.#onkeydown(event)}
        @copy=${(event: ClipboardEvent) => this.#oncopy(event)}
        @compositionstart=${() => {
          this.#isComposing = true;
        }}
        @compositionend=${() => this.#oncompositionend()}
      />
      <button
        class="clear"
        part="clear"
        type="button"
        aria-label=${strings.clear}
        ?hidden=${!this.#text || this.disabled}
        @click=${() => this.#clear()}
      >
        ×
      </button>
      <progress
        part="progress"
        max="1"
        aria-label=${strings.preparing}
        value=${progress ? progress.received / progress.total : nothing}
        ?hidden=${state !== 'loading'}
      ></progress>
    </div>`;
  }

  get #count(): string {
    const { results } = this;
    if (!results?.hits.length) return '';
    const { found, by } = this.#strings;
    const how = results.tier === 'keyword' ? by.keyword : by.other;
    return `${found(results.hits.length)} ${how} · ${Math.max(1, Math.round(results.ms))} ms`;
  }

  get #progressText(): string {
    const { state, tier, progress } = this.status;
    const { loading, learning, preparing, improving, refining } = this.#strings;
    if (state !== 'loading') return '';
    if (tier === 'none') return loading;
    const isKeyword = tier === 'keyword';
    if (!progress) return isKeyword ? preparing : refining;
    const percent = Math.floor((100 * progress.received) / progress.total);
    return isKeyword ? learning(percent) : improving(percent);
  }

  get #note(): string {
    const { state, problem, message, stored } = this.status;
    if (this.failure) return this.failure;
    if (state === 'error' || state === 'degraded') return problem ? this.#strings.problem(problem) : message;
    return stored ? '' : this.#strings.notStored;
  }

  get #hasMore(): boolean {
    return (this.results?.hits.length ?? 0) >= this.#k && this.#k < MAX_K;
  }

  #renderNotClose() {
    if (!this.results?.hits.length || this.results.close) return nothing;
    return html`<p class="far" part="not-close" dir="auto">${this.#strings.notClose}</p>`;
  }

  #renderSuggestion() {
    const suggestion = this.results?.suggestion;
    if (!suggestion) return nothing;
    const accept = (): void => {
      this.value = suggestion;
      this.input?.focus();
    };
    return html`<p class="suggestion" part="suggestion" dir="auto">
      ${this.#strings.didYouMean} <button type="button" @click=${accept}>${suggestion}</button>?
    </p>`;
  }

  #renderChips() {
    const shown = this.#shown.category;
    const names = new Set([...(shown ? [shown] : []), ...this.#categories.map(({ name }) => name)]);
    const isHidden = !this.results || (names.size < 2 && !shown);
    const chips = [
      { value: '', label: this.#strings.all },
      ...Array.from(names, (name) => ({ value: name, label: name })),
    ];
    return html`<div class="chips" part="chips" role="group" aria-label=${this.#strings.categories} ?hidden=${isHidden}>
      ${repeat(
        isHidden ? [] : chips,
        ({ value }) => value,
        ({ value, label }) =>
          html`<button
            part="chip"
            type="button"
            dir="auto"
            title=${label}
            .value=${value}
            aria-pressed=${value === shown ? 'true' : 'false'}
            @click=${() => this.#chooseCategory(value)}
          >
            ${label}
          </button>`,
      )}
    </div>`;
  }

  #renderList() {
    const rows = this.#rows;
    return html`<ul
      ${ref(this.#list)}
      id="hits"
      part="list"
      role="listbox"
      aria-label=${this.#strings.results}
      ?hidden=${!rows.length}
      @mousedown=${(event: Event) => event.preventDefault()}
      @pointerleave=${() => {
        this.#underPointer = null;
      }}
    >
      ${rows.map((row, place) => this.#renderRow(row, place))}
    </ul>`;
  }

  #renderRow(row: Row, place: number) {
    const { hit, isVariant } = row;
    const isOpen = this.variantsOf.has(hit.id) && !isVariant;
    const isActive = place === this.active;
    const template = this.#itemTemplate;
    const isAdded = this.#added.has(hit.id);
    const options = { strings: this.#strings, isAdded, onunfold: () => void this.#unfold(row) };
    const choose = (event: MouseEvent): void => {
      this.#activate(place);
      this.#pick(row, event.ctrlKey || event.metaKey);
    };
    return html`<li
      id=${`hit-${place}`}
      part=${isActive ? 'item active' : 'item'}
      role="option"
      class=${isVariant ? 'variant' : ''}
      aria-selected=${isActive ? 'true' : 'false'}
      ?data-open=${isOpen}
      ?data-added=${isAdded}
      @click=${choose}
      @pointerenter=${() => {
        this.#underPointer = hit;
      }}
    >
      ${template ? renderTemplate(template, hit) : renderEntry(row, options)}
    </li>`;
  }

  #renderEmpty() {
    const { start, startHint, none, noneHint, noneCategory } = this.#strings;
    if (this.results?.hits.length || this.selected) return nothing;
    const hint = this.#shown.category ? noneCategory : noneHint;
    return html`<div class="empty" part="empty" dir="auto">
      ${
        this.results
          ? html`<slot name="empty"><strong>${none}</strong>${hint}</slot>`
          : html`<slot name="start"><strong>${start}</strong>${startHint}</slot>`
      }
    </div>`;
  }

  /** A template in the page that says how an entry looks: `<template slot="item">`. */
  get #itemTemplate(): HTMLTemplateElement | undefined {
    return Array.from(this.getElementsByTagName('template')).find((template) => template.slot === 'item');
  }
}
