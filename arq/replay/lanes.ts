/**
 * Threads that take chunks of a stream, each the next one when it has read one, until the stream or a signal ends it,
 * and then return their results. Independent of the chunks' content.
 */
import { awaitedLater } from "../../shared/awaited_later.ts";

/** The threads of a command: few, because the machine has other work. */
export const THREADS: number = Math.max(
  1,
  Math.min(2, globalThis.navigator?.hardwareConcurrency ?? 1),
);
/** Chunks per thread: the one being read, and the next. */
const AHEAD = 2;

/** One thread. */
export interface Lane<Mail, Result> {
  readonly number: number;
  readonly post: (mail: Mail, moved?: Transferable[]) => void;
  /** Called when the thread listens: messages sent earlier are lost, so the sender waits. */
  readonly ready: () => void;
  /** Called when the thread has read a chunk and can take another. */
  readonly done: (pieces_read: number) => void;
  readonly finish: (result: Result) => void;
}

/** The options of lanes. */
export interface LanesOptions<Mail, News, Result> {
  readonly threads: number;
  /** Creates a thread, by its number. */
  readonly start: (number: number) => Worker;
  /** The first and the last message for each thread. */
  readonly first: Mail;
  readonly last: Mail;
  readonly receive: (lane: Lane<Mail, Result>, news: News) => void;
  /** After the abort no more chunks are read; the results so far are reported. */
  readonly signal: AbortSignal;
  /** Called with the total that all threads report to have read. */
  readonly onProgress: (read: number) => void;
}

interface Running<Mail, Result> extends Lane<Mail, Result> {
  readonly thread: Worker;
  readonly found: Promise<Result>;
  readonly reject: (error: unknown) => void;
  read: number;
}

/** Running threads, until `run` ends. */
export class Lanes<Mail, News, Result> {
  readonly #options: LanesOptions<Mail, News, Result>;
  readonly #lanes: Running<Mail, Result>[];
  /** Lanes that can take a chunk, once for each chunk. */
  readonly #free: Running<Mail, Result>[] = [];
  #wake = () => {};
  #failed: { readonly error: unknown } | undefined;

  constructor(options: LanesOptions<Mail, News, Result>) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.threads }, (_, number) => this.#start(number));
    for (let ahead = 0; ahead < AHEAD; ahead++) this.#free.push(...this.#lanes);
  }

  #start(number: number): Running<Mail, Result> {
    const thread = this.#options.start(number);
    const { promise: found, resolve: finish, reject } = Promise.withResolvers<Result>();
    awaitedLater(found);
    let waiting: [Mail, Transferable[]][] | undefined = [];
    const lane: Running<Mail, Result> = {
      number,
      thread,
      found,
      finish,
      reject,
      read: 0,
      post: (mail, moved = []) => {
        if (waiting === undefined) thread.postMessage(mail, moved);
        else waiting.push([mail, moved]);
      },
      ready: () => {
        for (const [mail, moved] of waiting ?? []) thread.postMessage(mail, moved);
        waiting = undefined;
      },
      done: (read) => {
        lane.read = read;
        this.#free.push(lane);
        this.#options.onProgress(this.#lanes.reduce((sum, { read }) => sum + read, 0));
        this.#wake();
      },
    };
    thread.onmessage = ({ data }: MessageEvent<News>) => this.#options.receive(lane, data);
    thread.onerror = (event) => {
      event.preventDefault();
      this.fail(new Error(`a thread has died: ${event.message}`));
    };
    lane.post(this.#options.first);
    return lane;
  }

  /** Aborts: `run` rejects with this error. */
  fail(error: unknown): void {
    this.#failed ??= { error };
    for (const { reject } of this.#lanes) reject(error);
    this.#wake();
  }

  async #freeLane(): Promise<Running<Mail, Result> | undefined> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed.error;
      if (this.#options.signal.aborted) return undefined;
      const lane = this.#free.shift();
      if (lane !== undefined) return lane;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Hands out all chunks; resolves with each thread's result. Rejects as the stream does. */
  async run<Piece>(
    pieces: AsyncIterable<Piece>,
    give: (lane: Lane<Mail, Result>, piece: Piece, number: number) => void,
  ): Promise<Result[]> {
    const { signal, last } = this.#options;
    const stop = () => this.#wake();
    signal.addEventListener("abort", stop);
    try {
      let number = 0;
      try {
        for await (const piece of pieces) {
          const lane = await this.#freeLane();
          if (lane === undefined) break;
          give(lane, piece, number++);
        }
      } catch (error) {
        // A stream ended by the signal is a normal end; a thread's failure is not.
        if (!signal.aborted || this.#failed !== undefined) throw error;
      }
      for (const lane of this.#lanes) lane.post(last);
      return await Promise.all(this.#lanes.map(({ found }) => found));
    } finally {
      signal.removeEventListener("abort", stop);
      for (const { thread } of this.#lanes) thread.terminate();
    }
  }
}
