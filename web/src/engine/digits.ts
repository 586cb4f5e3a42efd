// Codes come in two files: coarse ones first, and later a digit of -1, 0 or 1 for each, five digits a byte.

/** What a coarse code counts for: three codes share it. */
const STEPS = 3;
const PER_BYTE = 5;

/** Unpack the first `n` digits. */
export function unpackDigits(packed: Uint8Array, n: number): Int8Array {
  const digits = new Int8Array(n);
  for (let i = 0, byte = 0; i < n; byte++) {
    let rest = packed[byte];
    for (let j = 0; j < PER_BYTE && i < n; j++, i++) {
      digits[i] = (rest % STEPS) - 1;
      rest = Math.floor(rest / STEPS);
    }
  }
  return digits;
}

/** The whole code. */
export function refineCode(coarse: number, digit: number): number {
  return STEPS * coarse + digit;
}
