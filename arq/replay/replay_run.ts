/**
 * A replay over all its threads: hands out chunks of the journal, sends modules to threads that need them, and adds up
 * their counts. It parses no record.
 */
import type { JournalChunk } from "./journal_chunks.ts";
import { type Lane, Lanes } from "./lanes.ts";
import type { Flip, ReplayMail, ReplayNews } from "./replay_thread.ts";
import type { ReplayModule } from "./repeater.ts";
import type { ReplaySelection } from "./selection.ts";
import { addTally, emptyTally, type Tally } from "./tally.ts";

interface ReplayRunOptions {
  readonly chunks: AsyncIterable<JournalChunk>;
  readonly selection: ReplaySelection;
  readonly candidate: ReplayModule;
  readonly moduleOf: (sha256: string) => Promise<ReplayModule | undefined>;
  readonly threads: number;
  /** After the abort no more chunks are read; the results so far are counted. */
  readonly signal: AbortSignal;
  /** Receives each flip, in the order of the journal; absent: flips are not needed. */
  readonly onFlips?: (flips: readonly Flip[]) => Promise<void>;
  /** Called with the number of calls so far. */
  readonly onProgress: (decisions: number) => void;
}

type ReplayLane = Lane<ReplayMail, Tally>;

/** Flips of chunks that are read concurrently, delivered in the order of the chunks. */
class FlipsInOrder {
  readonly #onFlips: ReplayRunOptions["onFlips"];
  readonly #onError: (error: unknown) => void;
  /** Flips by the number of their chunk, until earlier ones are delivered. */
  readonly #waiting = new Map<number, readonly Flip[]>();
  #next = 0;
  #written: Promise<void> = Promise.resolve();

  constructor(onFlips: ReplayRunOptions["onFlips"], onError: (error: unknown) => void) {
    this.#onFlips = onFlips;
    this.#onError = onError;
  }

  add(number: number, flips: readonly Flip[]): void {
    const onFlips = this.#onFlips;
    this.#waiting.set(number, flips);
    for (let next; (next = this.#waiting.get(this.#next)) !== undefined;) {
      this.#waiting.delete(this.#next++);
      if (onFlips === undefined || next.length === 0) continue;
      const written = next;
      this.#written = this.#written.then(() => onFlips(written));
      this.#written.catch(this.#onError);
    }
  }

  /** Resolves when all are delivered. Rejects as the delivery does. */
  written(): Promise<void> {
    return this.#written;
  }
}

function startThread(number: number): Worker {
  return new Worker(new URL("./replay_thread.ts", import.meta.url), {
    type: "module",
    name: `replay-${number}`,
    deno: { permissions: "none" },
  });
}

/** Runs a replay to its end, or to the signal. Throws the errors of reading the journal. */
export async function replay(options: ReplayRunOptions): Promise<Tally> {
  const { chunks, selection, candidate, moduleOf, onFlips, threads, signal, onProgress } = options;
  const flips = new FlipsInOrder(onFlips, (error) => lanes.fail(error));
  const receive = (lane: ReplayLane, news: ReplayNews): void => {
    switch (news.kind) {
      case "needs": {
        const { sha256 } = news;
        moduleOf(sha256).then(
          (module) => lane.post({ kind: "module", sha256, module }),
          (error) => lanes.fail(error),
        );
        return;
      }
      case "ready":
        return lane.ready();
      case "done":
        flips.add(news.number, news.flips);
        return lane.done(news.decisions);
      case "tally":
        return lane.finish(news.tally);
      default:
        news satisfies never;
    }
  };
  const lanes = new Lanes<ReplayMail, ReplayNews, Tally>({
    threads,
    start: startThread,
    first: { kind: "start", selection, candidate, keeps_flips: onFlips !== undefined },
    last: { kind: "finish" },
    receive,
    signal,
    onProgress,
  });
  const tallies = await lanes.run(
    chunks,
    (lane, chunk, number) => lane.post({ kind: "chunk", number, chunk }, [chunk.bytes.buffer]),
  );
  await flips.written();
  const all = emptyTally();
  for (const tally of tallies) addTally(all, tally);
  return all;
}
