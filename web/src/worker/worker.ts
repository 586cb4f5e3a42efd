// The worker of a page: the search itself, off the main thread.
import { causeOf } from '../engine/errors';
import { findVariants } from '../engine/ranking';
import { Store } from '../engine/store';
import type { Answer, FromWorker, StartOptions, ToWorker } from './protocol';
import { QueryQueue } from './queries';
import { Session } from './session';

interface Running {
  session: Session;
  queries: QueryQueue;
}

let running: Promise<Running> | null = null;

function send(message: FromWorker, transfer: Transferable[] = []): void {
  postMessage(message, { transfer });
}

async function start(options: StartOptions): Promise<Running> {
  const session = new Session(await Store.open(options.base), options, {
    onstatus: (status) => send({ type: 'status', status }),
    onbackground: (download) => send({ type: 'background', ...download }, [download.port]),
  });
  const queries = new QueryQueue(session, {
    onresults: (id, answer, final) => send({ type: 'answer', id, answer, final }),
    onerror: (id, error) => send({ type: 'failed', id, message: causeOf(error) }),
  });
  void session.start();
  return { session, queries };
}

/** Answer everything but queries, which wait for their turn. */
async function answerCall(
  { session }: Running,
  message: Exclude<ToWorker, { type: 'start' | 'cancel' | 'query' }>,
): Promise<Answer> {
  const { store, version } = session;
  switch (message.type) {
    case 'variants':
      return version ? findVariants(version.index, message.ask.id, message.ask.text, message.ask.limit) : [];
    case 'update':
      await session.update();
      return session.status.version;
    case 'logging':
      if (message.ask !== null) await store.setLogging(message.ask);
      return store.getLogging();
    case 'log':
      if (await store.getLogging()) await store.addLogEvent(message.ask);
      return null;
    case 'logged':
      return store.getLog();
    case 'clearLog':
      await store.clearLog();
      return null;
  }
}

async function receive(message: ToWorker): Promise<void> {
  if (message.type === 'start') running = start(message.options);
  if (!running) return;
  const { session, queries } = await running;
  switch (message.type) {
    case 'start':
      return;
    case 'cancel':
      queries.cancel(message.id);
      return;
    case 'query':
      queries.add(message.id, message.ask);
      return;
    default:
      try {
        send({ type: 'answer', id: message.id, answer: await answerCall({ session, queries }, message), final: true });
      } catch (error) {
        send({ type: 'failed', id: message.id, message: causeOf(error) });
      }
  }
}

onmessage = ({ data }: MessageEvent<ToWorker>) => void receive(data);
