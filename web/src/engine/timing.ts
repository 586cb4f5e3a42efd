// Stages of an answer as User Timing measures: the performance panel of a browser shows them, in each thread.

/** Start of all names, because the page around the element may have measures of its own. */
const PREFIX = 'embedding-search: ';

/** Measure a stage that began at `start`. It is not kept: a search runs for days. */
export function endStage(stage: string, start: number): void {
  const name = PREFIX + stage;
  performance.measure(name, { start });
  performance.clearMeasures(name);
}

/** Measure a stage. */
export function timed<Result>(stage: string, work: () => Result): Result {
  const start = performance.now();
  const result = work();
  endStage(stage, start);
  return result;
}
