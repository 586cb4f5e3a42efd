// Downloads for the search worker: by the service worker, which goes on when the page is left, else here.
import { download, type OnProgress } from '../engine/download';
import { Unreachable } from '../engine/errors';
import type { SiteFile } from '../engine/manifest';
import type { Store } from '../engine/store';
import type { BackgroundDownload, DownloadReport } from './protocol';

const FIRST_REPORT = 4000;
const NEXT_REPORT = 20_000;

/** Download here; several tabs of one site take turns. */
export async function downloadHere(
  store: Store,
  base: string,
  files: SiteFile[],
  onprogress: OnProgress,
): Promise<void> {
  // `navigator.locks` is missing on a page without https.
  if (!('locks' in navigator)) return download(store, base, files, onprogress);
  await navigator.locks.request(`embedding-search:${base}`, () => download(store, base, files, onprogress));
}

/**
 * Download by the service worker, or here if there is none or it fails.
 * @param send Hands the download to the page, which knows the service worker
 */
export async function downloadInBackground(
  store: Store,
  base: string,
  files: SiteFile[],
  onprogress: OnProgress,
  send: (download: BackgroundDownload) => void,
): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  try {
    const reported = waitForReports(port1, onprogress);
    send({ base, files, port: port2 });
    await reported;
  } catch (error) {
    if (error instanceof Unreachable) throw error;
    await downloadHere(store, base, files, onprogress);
  } finally {
    port1.close();
  }
}

/** Follow the reports of a download until it is done; rejects if it fails or falls silent. */
function waitForReports(port: MessagePort, onprogress: OnProgress): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;

    function expectReport(ms: number): void {
      clearTimeout(timer);
      timer = setTimeout(() => reject(new Error('the service worker is silent')), ms);
    }

    port.onmessage = ({ data }: MessageEvent<DownloadReport>) => {
      expectReport(NEXT_REPORT);
      if ('received' in data) onprogress(data.received, data.total);
      if ('done' in data || 'error' in data) clearTimeout(timer);
      if ('done' in data) resolve();
      if ('error' in data) reject(data.unreachable ? new Unreachable(data.error) : new Error(data.error));
    };
    expectReport(FIRST_REPORT);
  });
}
