/**
 * Edit distance (insert, delete, replace, swap) of `typed` and `word`, or `max + 1` when it is larger.
 * With `prefix`, the distance to the nearest prefix of `word`.
 */
export function editDistance(typed: string, word: string, max: number, prefix = false): number {
  const n = typed.length;
  const m = prefix ? Math.min(word.length, n + max) : word.length;
  if (Math.abs(n - m) > max && !(prefix && m > n)) return max + 1;
  let secondLast = new Uint16Array(m + 1);
  let last = Uint16Array.from({ length: m + 1 }, (_, j) => j);
  let row = new Uint16Array(m + 1);
  for (let i = 1; i <= n; i++) {
    row[0] = i;
    let nearest = i;
    for (let j = 1; j <= m; j++) {
      const replaced = last[j - 1] + (typed[i - 1] === word[j - 1] ? 0 : 1);
      let distance = Math.min(last[j] + 1, row[j - 1] + 1, replaced);
      const swapped = i > 1 && j > 1 && typed[i - 1] === word[j - 2] && typed[i - 2] === word[j - 1];
      if (swapped) distance = Math.min(distance, secondLast[j - 2] + 1);
      row[j] = distance;
      if (distance < nearest) nearest = distance;
    }
    if (nearest > max) return max + 1;
    [secondLast, last, row] = [last, row, secondLast];
  }
  const distance = prefix ? Math.min(...last) : last[m];
  return Math.min(distance, max + 1);
}
