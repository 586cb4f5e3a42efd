import { Corrupt } from './errors';
import { decodeObject } from './json';

/** Read the file `pins` of a site: the row that is pinned to each normalized query. */
export function parsePins(content: ArrayBuffer): Map<string, number> {
  const rowOf = new Map<string, number>();
  for (const [query, row] of Object.entries(decodeObject(content))) {
    if (typeof row !== 'number') throw new Corrupt(`pin ${query} has no row number`);
    rowOf.set(query, row);
  }
  return rowOf;
}
