// Stages of an answer as User Timing measures: the performance panel of a browser shows them, in each thread.

/** Measure a stage that began at `start`. It is not kept: a search runs for days. */
export function endStage(name: string, start: number): void {
  performance.measure(name, { start });
  performance.clearMeasures(name);
}

/** Measure a stage. */
export function timed<Result>(name: string, work: () => Result): Result {
  const start = performance.now();
  const result = work();
  endStage(name, start);
  return result;
}
