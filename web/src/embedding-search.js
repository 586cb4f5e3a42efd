// What a page imports: the function and the element.
export { createSearch, version } from './index.js';
export { EmbeddingSearch } from './element.js';
