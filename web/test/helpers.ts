import { Catalog } from '../src/engine/catalog';
import { Columns } from '../src/engine/columns';
import { Keywords } from '../src/engine/keywords';
import type { Index } from '../src/engine/ranking';
import vectors from './vectors.json';

export { vectors };

export function decodeBase64(text: string): ArrayBuffer {
  return Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
}

/** The catalog that Python packed: two brake pads in one family, and four other families. */
export function makeIndex(pins: Record<string, number> = {}): Index {
  const catalog = new Catalog(new Columns(decodeBase64(vectors.catalog.packed)));
  const fusion = { rrf_k: 10, keyword_weight: 0.2 };
  return {
    catalog,
    keywords: new Keywords(catalog),
    vectors: null,
    texts: null,
    pins: new Map(Object.entries(pins)),
    fusion,
    close: {},
  };
}
