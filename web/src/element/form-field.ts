// What makes the element a field of a form: its value is the id of the chosen entry.
import { LitElement, type PropertyDeclarations, type PropertyValues } from 'lit';
import type { Hit } from '../engine/types';

/** An entry that the browser remembers, of which only id and title are known. */
function rememberedHit(id: string, title: string): Hit {
  return { rank: 1, id, title, marks: [], category: '', text: '', family: id, variants: 0, tier: '' };
}

export abstract class FormField extends LitElement {
  static readonly formAssociated = true;
  static override properties: PropertyDeclarations = {
    name: { type: String, reflect: true },
    required: { type: Boolean, reflect: true },
    disabled: { type: Boolean, reflect: true },
  };

  declare name: string;
  declare required: boolean;
  declare disabled: boolean;
  readonly #internals = this.attachInternals();
  #selected: Hit | null = null;

  constructor() {
    super();
    this.name = '';
    this.required = false;
    this.disabled = false;
  }

  abstract get input(): HTMLInputElement | null;
  abstract value: string;
  /** Said when the field is required and has no value. */
  protected abstract get requiredMessage(): string;
  /** Show an entry as the one that was chosen. */
  protected abstract choose(hit: Hit): void;

  get selected(): Hit | null {
    return this.#selected;
  }

  /** Set the value of the field; null if no entry is chosen. */
  protected setSelected(hit: Hit | null): void {
    this.#selected = hit;
    this.#internals.setFormValue(hit?.id ?? null, hit && `${hit.id}\n${hit.title}`);
    this.#validate();
  }

  #validate(): void {
    const isMissing = this.required && !this.#selected;
    const message = isMissing ? this.requiredMessage : '';
    this.#internals.setValidity({ valueMissing: isMissing }, message, this.input ?? undefined);
  }

  protected override updated(changed: PropertyValues): void {
    if (changed.has('required')) this.#validate();
  }

  get form(): HTMLFormElement | null {
    return this.#internals.form;
  }

  get validity(): ValidityState {
    return this.#internals.validity;
  }

  get validationMessage(): string {
    return this.#internals.validationMessage;
  }

  get willValidate(): boolean {
    return this.#internals.willValidate;
  }

  checkValidity(): boolean {
    return this.#internals.checkValidity();
  }

  reportValidity(): boolean {
    return this.#internals.reportValidity();
  }

  formResetCallback(): void {
    this.value = '';
  }

  formDisabledCallback(disabled: boolean): void {
    this.disabled = disabled;
  }

  /** The browser restores the form, for example after going back. */
  formStateRestoreCallback(state: string): void {
    const [id = '', title = ''] = state.split('\n');
    if (id) this.choose(rememberedHit(id, title));
  }
}
