// The rows of the result list: hits, and below an open hit its variants.
import type { Hit } from '../engine/types';

export interface Row {
  hit: Hit;
  isVariant: boolean;
}

/** List hits with the variants of those that are open. */
export function listRows(hits: Hit[], variantsOf: ReadonlyMap<string, Hit[]>): Row[] {
  return hits.flatMap((hit) => {
    const variants = variantsOf.get(hit.id) ?? [];
    return [{ hit, isVariant: false }, ...variants.map((variant) => ({ hit: variant, isVariant: true }))];
  });
}

/** Move the entry that somebody reads back to its old place among new hits. */
export function keepInPlace(hits: Hit[], before: Hit[], id: string): Hit[] {
  const place = before.findIndex((hit) => hit.id === id);
  if (place < 0) return hits;
  const others = hits.filter((hit) => hit.family !== before[place].family);
  const kept = hits.find((hit) => hit.id === id) ?? before[place];
  const size = Math.max(hits.length, place + 1);
  return [...others.slice(0, place), kept, ...others.slice(place)].slice(0, size);
}

/** Ids of hits that were not there before. */
export function addedIds(hits: Hit[], before: Hit[]): Set<string> {
  const known = new Set(before.map((hit) => hit.id));
  return new Set(hits.map((hit) => hit.id).filter((id) => !known.has(id)));
}

/** Fill a link template such as `https://example.org/{id}`; empty unless it is an http link. */
export function fillLink(template: string, hit: Hit, base: string): string {
  const fields: Record<string, string | undefined> = {
    id: hit.id,
    title: hit.title,
    category: hit.category,
    family: hit.family,
  };
  const filled = template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(fields[name] ?? ''));
  if (!filled || !URL.canParse(filled, base)) return '';
  const url = new URL(filled, base);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : '';
}

/** Pieces of a title, and which of them matched. */
export function splitTitle({ title, marks }: Pick<Hit, 'title' | 'marks'>): { text: string; isMatch: boolean }[] {
  const pieces: { text: string; isMatch: boolean }[] = [];
  let end = 0;
  for (const [from, to] of marks) {
    if (from > end) pieces.push({ text: title.slice(end, from), isMatch: false });
    pieces.push({ text: title.slice(from, to), isMatch: true });
    end = to;
  }
  if (end < title.length) pieces.push({ text: title.slice(end), isMatch: false });
  return pieces;
}
