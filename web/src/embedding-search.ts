// What a page imports: the search as a function and as an element.
import type { EmbeddingSearchElement } from './element/api';
import { EmbeddingSearch as ElementClass } from './element/element';

export type * from './engine/types';
export type { EmbeddingSearchElement, EmbeddingSearchEventMap, ShownResults } from './element/api';
export { ENGLISH, type Strings } from './element/strings';
export { GERMAN } from './element/strings.de';
export { createSearch, version } from './worker/client';

/** The class of `<embedding-search>`. */
export const EmbeddingSearch: new () => EmbeddingSearchElement = ElementClass;

if (!customElements.get('embedding-search')) customElements.define('embedding-search', ElementClass);
