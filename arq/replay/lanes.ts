/**
 * Threads that take the chunks of a stream, each the next one when it has read one, until the stream or a signal ends
 * it, and then return their results. Independent of the chunks' content.
 */

/** Pieces that a thread has at a time: the one that it reads, and the next. */
const AHEAD = 2;

/** One thread. */
export interface Lane<Mail, Told> {
  readonly number: number;
  readonly post: (mail: Mail, moved?: Transferable[]) => void;
  /** It listens: mail that comes to a thread before that is lost, so it waits until then. */
  readonly ready: () => void;
  /** It has read a piece: it takes another. */
  readonly done: (pieces_read: number) => void;
  /** It has told what it has found. */
  readonly told: (told: Told) => void;
}

/** What threads need. */
export interface LanesOptions<Mail, News, Told> {
  readonly threads: number;
  /** Makes a thread, by its number. */
  readonly start: (number: number) => Worker;
  /** What each thread receives first, and last. */
  readonly first: Mail;
  readonly last: Mail;
  readonly hear: (lane: Lane<Mail, Told>, news: News) => void;
  /** When it is aborted, no more pieces are read; what was read is reported. */
  readonly signal: AbortSignal;
  /** Called with what all threads have read so far, as they say it. */
  readonly onProgress: (read: number) => void;
}

interface Running<Mail, Told> extends Lane<Mail, Told> {
  readonly thread: Worker;
  readonly found: Promise<Told>;
  readonly reject: (error: unknown) => void;
  read: number;
}

/** Threads that run, until `run` ends. */
export class Lanes<Mail, News, Told> {
  readonly #options: LanesOptions<Mail, News, Told>;
  readonly #lanes: Running<Mail, Told>[];
  /** Lanes that take a piece, once for each. */
  readonly #free: Running<Mail, Told>[] = [];
  #wake = () => {};
  #failed: { readonly error: unknown } | undefined;

  constructor(options: LanesOptions<Mail, News, Told>) {
    this.#options = options;
    this.#lanes = Array.from({ length: options.threads }, (_, number) => this.#start(number));
    for (let ahead = 0; ahead < AHEAD; ahead++) this.#free.push(...this.#lanes);
  }

  #start(number: number): Running<Mail, Told> {
    const thread = this.#options.start(number);
    const { promise: found, resolve: told, reject } = Promise.withResolvers<Told>();
    // It is awaited only after the last piece.
    found.catch(() => {});
    let waiting: [Mail, Transferable[]][] | undefined = [];
    const lane: Running<Mail, Told> = {
      ...{ number, thread, found, told, reject, read: 0 },
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
    thread.onmessage = ({ data }: MessageEvent<News>) => this.#options.hear(lane, data);
    thread.onerror = (event) => {
      event.preventDefault();
      this.fail(new Error(`a thread has died: ${event.message}`));
    };
    lane.post(this.#options.first);
    return lane;
  }

  /** Ends it: `run` rejects with this error. */
  fail(error: unknown): void {
    this.#failed ??= { error };
    for (const { reject } of this.#lanes) reject(error);
    this.#wake();
  }

  async #freeLane(): Promise<Running<Mail, Told> | undefined> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed.error;
      if (this.#options.signal.aborted) return undefined;
      const lane = this.#free.shift();
      if (lane !== undefined) return lane;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Gives all pieces away; resolves with what each thread has found. Rejects as the stream does. */
  async run<Piece>(
    pieces: AsyncIterable<Piece>,
    give: (lane: Lane<Mail, Told>, piece: Piece, number: number) => void,
  ): Promise<Told[]> {
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
        // A stream that the signal has ended is an end like another; a thread's failure is none.
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
