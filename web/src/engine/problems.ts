import type { Problem } from './types';

/** Say in English what went wrong and what happens next. */
export function describeProblem({ code, cause, tier }: Problem): string {
  const because = cause.replace(/\.$/, '');
  const searching = tier === 'keyword' ? 'by keywords' : `with the ${tier} model`;
  switch (code) {
    case 'catalog':
      return `The catalog could not be loaded (${because}). Trying again.`;
    case 'damaged':
      return 'Downloaded data is damaged. Trying again.';
    case 'download':
      return `Download interrupted: ${because}. It resumes by itself.`;
    case 'tier':
      return `Searching ${searching} only: ${because}. Reload the page to try again.`;
    case 'stopped':
      return `The search stopped: ${because}. Reload the page.`;
    case 'browser':
      return 'This browser is too old for this search; update it.';
  }
}

/** A status change that reports a problem. */
export function reportProblem(code: Problem['code'], cause = '', tier = 'keyword') {
  const problem: Problem = { code, cause, tier };
  return { problem, message: describeProblem(problem) };
}

/** A status change after which there is no problem. */
export const NO_PROBLEM = { problem: null, message: '' };
