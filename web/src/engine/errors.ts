/** Downloaded or stored data does not match its hash. */
export class Corrupt extends Error {}

/** The network or the server failed; trying again may help. */
export class Unreachable extends Error {}

/** What to tell about anything that was thrown. */
export function causeOf(error: unknown): string {
  return error instanceof Error && error.message ? error.message : String(error);
}

/** The catalog has no category of this name. */
export class UnknownCategory extends RangeError {}
