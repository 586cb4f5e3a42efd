// What the page says while the run that makes it still works, and its switch to each better version.
import type { Search, Status } from '../engine/types';

const EVERY = 2500;
/** After so many failures in a row the run or its server is gone. */
const MAX_FAILURES = 4;

/** `progress.json`, as far as the page uses it. */
export interface Progress {
  label: string;
  seconds_left: number | null;
  version: string;
}

/** What `followRun` needs of the element. */
export interface LiveSearch extends EventTarget {
  status: Status;
  search: Search | null;
}

export function isProgress(value: unknown): value is Progress {
  if (typeof value !== 'object' || value === null) return false;
  if (!('label' in value && 'version' in value && 'seconds_left' in value)) return false;
  const isTime = value.seconds_left === null || typeof value.seconds_left === 'number';
  return typeof value.label === 'string' && typeof value.version === 'string' && isTime;
}

/** `, about 4 minutes left`; empty if nobody knows. */
export function describeTime(seconds: number | null): string {
  if (seconds === null) return '';
  if (seconds < 50) return ', less than a minute left';
  const minutes = Math.round(seconds / 60);
  return minutes === 1 ? ', about a minute left' : `, about ${minutes} minutes left`;
}

/** Say what answers now and what the run does. */
export function describeRun({ tier, info }: Status, { label, seconds_left }: Progress): string {
  const isKeyword = tier === 'keyword' || tier === 'none';
  const now = isKeyword ? 'keyword search' : (info?.live ?? 'search by meaning');
  return `Now: ${now}. ${label}${describeTime(seconds_left)}.`;
}

/** The progress of the run; null if it has ended. */
async function fetchProgress(): Promise<Progress | null> {
  try {
    const response = await fetch('progress.json', { cache: 'no-store' });
    const progress: unknown = response.ok ? await response.json() : null;
    return isProgress(progress) ? progress : null;
  } catch {
    return null;
  }
}

/** Show in `line` what the run does, and load each new version. A finished site makes no request. */
export function followRun(element: LiveSearch, line: HTMLElement): void {
  let isFollowing = false;
  let failures = 0;

  function stop(): void {
    isFollowing = false;
    line.textContent = ''; // it keeps its place, so that results do not move
  }

  async function look(): Promise<void> {
    const progress = await fetchProgress();
    failures = progress ? 0 : failures + 1;
    if (!element.status.info?.live || failures === MAX_FAILURES) {
      stop();
      return;
    }
    if (progress) line.textContent = describeRun(element.status, progress);
    if (progress?.version !== element.status.version) void element.search?.update().catch(() => undefined);
    setTimeout(() => void look(), EVERY);
  }

  element.addEventListener('status', () => {
    if (isFollowing || !element.status.info?.live) return;
    isFollowing = true;
    failures = 0;
    line.hidden = false;
    void look();
  });
}
