// How an entry of the result list looks.
import { html, nothing } from 'lit';
import type { Hit } from '../engine/types';
import { splitTitle, type Row } from './rows';
import type { Strings } from './strings';

export interface EntryOptions {
  strings: Strings;
  /** Whether a better encoder has added the entry while somebody reads. */
  isAdded: boolean;
  /** Show or hide the variants. */
  onunfold: () => void;
}

/** Title with the matched words marked. Text of a catalog is never parsed as HTML. */
function markedTitle(hit: Hit) {
  return splitTitle(hit).map(({ text, isMatch }) => (isMatch ? html`<mark>${text}</mark>` : text));
}

export function renderEntry({ hit, isVariant }: Row, options: EntryOptions) {
  const { strings, isAdded } = options;
  const added = isAdded ? html`<span class="added" part="added">${strings.added}</span>` : nothing;
  return html`<span class="title" part="title" dir="auto">${markedTitle(hit)}</span>
    <span class="end">${added}<span class="id" part="id" title=${hit.id}>${hit.id}</span></span>
    ${isVariant ? nothing : renderDetails(hit, options)}`;
}

function renderDetails({ title, category, text, variants }: Hit, { strings, onunfold }: EntryOptions) {
  const hasCategory = category && category !== title;
  if (!hasCategory && !variants && !text) return nothing;
  const unfold = (event: Event): void => {
    event.stopPropagation();
    onunfold();
  };
  const count = html`<span class="fold" part="variants" dir="auto" @click=${unfold}
    >${strings.variants(variants)}</span
  >`;
  return html`<span class="under">
    ${hasCategory ? html`<span class="category" part="category" dir="auto">${category}</span>` : nothing}
    ${variants ? count : nothing} ${text ? html`<span class="text" part="text" dir="auto">${text}</span>` : nothing}
  </span>`;
}

/** An entry as a template of the page says: its elements that have a `data-field` are filled. */
export function renderTemplate(template: HTMLTemplateElement, { id, title, category, text }: Hit) {
  const fields = new Map([
    ['id', id],
    ['title', title],
    ['category', category],
    ['text', text],
  ]);
  const copy = document.importNode(template.content, true);
  for (const element of copy.querySelectorAll('[data-field]')) {
    element.textContent = fields.get(element.getAttribute('data-field') ?? '') ?? '';
  }
  return html`<div class="entry" part="entry">${copy}</div>`;
}
