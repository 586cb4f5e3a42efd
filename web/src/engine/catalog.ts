// The entries of a catalog. Rows of one family are neighbors, the head of the family first.
import type { Columns, Numbers } from './columns';
import { UnknownCategory } from './errors';
import { fold } from './text';

export interface FamilyRow {
  family: number;
  row: number;
}

/** Positions where runs of the given lengths begin, and where the last one ends. */
function offsets(lengths: Numbers): Uint32Array {
  const starts = new Uint32Array(lengths.length + 1);
  for (let i = 0; i < lengths.length; i++) starts[i + 1] = starts[i] + lengths[i];
  return starts;
}

/** The families that have a row in `allowed`, ascending. */
export function allowedFamilies(catalog: Catalog, allowed: Uint8Array): Uint32Array {
  const families = new Set<number>();
  for (let row = 0; row < catalog.rows; row++) if (allowed[row]) families.add(catalog.familyOf[row]);
  return Uint32Array.from(families);
}

export class Catalog {
  readonly rows: number;
  readonly families: number;
  readonly ids: string[];
  readonly categories: string[];
  readonly rowCategory: Numbers;
  /** Words and separators that titles are made of. */
  readonly words: string[];
  /** How many of `words`, from the first, are separators. */
  readonly separators: number;
  /** Numbers of the words of all titles; those of row `r` are from `tokenAt[r]` to `tokenAt[r + 1]`. */
  readonly tokens: Numbers;
  readonly tokenAt: Uint32Array;
  /** First row of each family. */
  readonly familyAt: Uint32Array;
  readonly familyOf: Uint32Array;
  #lowerIds: string[] | null = null;
  #lastCategory: { name: string; allowed: Uint8Array } | null = null;

  /** @param columns The file `catalog` of a site */
  constructor(columns: Columns) {
    this.words = columns.texts('words');
    this.separators = columns.numbers('separators')[0];
    this.ids = columns.texts('ids');
    this.categories = columns.texts('categories');
    this.tokens = columns.numbers('tokens');
    this.tokenAt = offsets(columns.numbers('row_length'));
    this.rowCategory = columns.numbers('row_category');
    this.familyAt = offsets(columns.numbers('family_size'));
    this.rows = this.tokenAt.length - 1;
    this.families = this.familyAt.length - 1;
    this.familyOf = new Uint32Array(this.rows);
    for (let f = 0; f < this.families; f++) this.familyOf.fill(f, this.familyAt[f], this.familyAt[f + 1]);
  }

  categoryOf(row: number): string {
    return this.categories[this.rowCategory[row]] ?? '';
  }

  /** Id of the first row of a family. */
  headId(family: number): string {
    return this.ids[this.familyAt[family]];
  }

  familySize(family: number): number {
    return this.familyAt[family + 1] - this.familyAt[family];
  }

  /**
   * Title of a row, and where its matched words are.
   * @param matchedChars How many characters of a word, given by its number, the query matched
   */
  title(row: number, matchedChars: (word: number) => number = () => 0): { title: string; marks: [number, number][] } {
    const marks: [number, number][] = [];
    let title = '';
    let afterWord = false;
    for (let i = this.tokenAt[row]; i < this.tokenAt[row + 1]; i++) {
      const number = this.tokens[i];
      const word = this.words[number];
      const isWord = number >= this.separators;
      if (isWord && afterWord) title += ' ';
      const matched = isWord ? matchedChars(number) : 0;
      if (matched) marks.push([title.length, title.length + Math.min(matched, word.length)]);
      title += word;
      afterWord = isWord;
    }
    return { title, marks };
  }

  /**
   * Families with a row whose id is, or starts with, what was typed. Only for texts that look like an id.
   * @param allowed One byte a row
   */
  byId(text: string, limit: number, allowed: Uint8Array | null = null): FamilyRow[] {
    const typed = text.trim().toLowerCase();
    if (typed.length < 2 || typed.length > 60 || /\s/.test(typed) || !/\d/.test(typed)) return [];
    this.#lowerIds ??= this.ids.map((id) => id.toLowerCase());
    const rowOf = new Map<number, number>();
    const exact = this.#lowerIds.indexOf(typed);
    if (exact >= 0 && (!allowed || allowed[exact])) rowOf.set(this.familyOf[exact], exact);
    for (let row = 0; row < this.rows && rowOf.size < limit; row++) {
      if (!this.#lowerIds[row].startsWith(typed) || (allowed && !allowed[row])) continue;
      if (!rowOf.has(this.familyOf[row])) rowOf.set(this.familyOf[row], row);
    }
    return Array.from(rowOf, ([family, row]) => ({ family, row }));
  }

  /** Mask of the rows of a category, one byte a row. */
  inCategory(name: string): Uint8Array {
    if (this.#lastCategory?.name === name) return this.#lastCategory.allowed;
    const wanted = fold(name.trim());
    const number = this.categories.findIndex((category) => fold(category.trim()) === wanted);
    if (number < 0) {
      const others = this.categories.length.toLocaleString('en');
      throw new UnknownCategory(`no category ${JSON.stringify(name)} in this catalog; it has ${others} others`);
    }
    const allowed = Uint8Array.from(this.rowCategory, (category) => (category === number ? 1 : 0));
    this.#lastCategory = { name, allowed };
    return allowed;
  }
}
