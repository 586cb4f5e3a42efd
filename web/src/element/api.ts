// The element as a page sees it.
import type { Hit, Results, Search, Status } from '../engine/types';
import type { Strings } from './strings';

export interface ShownResults extends Results {
  /** Milliseconds from asking to the results in the page. */
  total: number;
}

export interface EmbeddingSearchEventMap {
  /** The search can answer. */
  ready: CustomEvent<null>;
  /** The status has changed. */
  status: CustomEvent<Status>;
  /** Results are in the page. */
  results: CustomEvent<ShownResults>;
  /** An entry was chosen. Prevent the default to open no link. Bubbles. */
  pick: CustomEvent<Hit>;
  /** The id of an entry was copied. */
  copied: CustomEvent<Hit>;
  /** A search was added to the log. */
  logged: CustomEvent<null>;
}

/** `<embedding-search base="…">`: a search box with a list of results, and a form field if it has a `name`. */
export interface EmbeddingSearchElement extends HTMLElement {
  /** Where the site's files are. */
  base: string;
  placeholder: string | null;
  label: string | null;
  /** Address of an entry, with `{id}`, `{title}`, `{category}` or `{family}` in it. */
  link: string;
  /** Name of the field in a form; its value is the id of the chosen entry. */
  name: string;
  required: boolean;
  disabled: boolean;
  /** Text of the input. Setting it searches. */
  value: string;
  /** The entry that was chosen; null once the text changes. */
  readonly selected: Hit | null;
  /** Texts of the element; setting some keeps the others. */
  get strings(): Strings;
  set strings(strings: Partial<Strings>);
  /** The search, as `createSearch` gives it; null until it can answer. */
  readonly search: Search | null;
  readonly status: Status;
  readonly input: HTMLInputElement | null;
  readonly form: HTMLFormElement | null;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;
  addEventListener<Name extends keyof EmbeddingSearchEventMap>(
    type: Name,
    listener: (event: EmbeddingSearchEventMap[Name]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'embedding-search': EmbeddingSearchElement;
  }
}
