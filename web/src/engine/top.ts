/** The `k` best of the first `n` candidates by score, best first; ties by number. */
export function topK(candidates: Uint32Array, score: Float32Array | Int32Array, n: number, k: number): Uint32Array {
  const heap = new Uint32Array(Math.min(k, n)); // its root is the worst of the best
  let size = 0;

  function isBetter(a: number, b: number): boolean {
    return score[a] > score[b] || (score[a] === score[b] && a < b);
  }

  function sink(parent: number): void {
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= size) return;
      if (child + 1 < size && isBetter(heap[child], heap[child + 1])) child++;
      if (isBetter(heap[child], heap[parent])) return;
      const moved = heap[parent];
      heap[parent] = heap[child];
      heap[child] = moved;
      parent = child;
    }
  }

  for (let i = 0; i < n; i++) {
    const candidate = candidates[i];
    if (size < heap.length) {
      heap[size++] = candidate;
      if (size === heap.length) for (let parent = (size >> 1) - 1; parent >= 0; parent--) sink(parent);
    } else if (size && score[candidate] >= score[heap[0]] && isBetter(candidate, heap[0])) {
      heap[0] = candidate;
      sink(0);
    }
  }
  return heap.sort((a, b) => score[b] - score[a] || a - b);
}
