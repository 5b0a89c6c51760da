/**
 * Wakes readers that wait for a stream when it may have changed: a message of the room, or its record. A hint only;
 * they read the content from the log.
 */
import type { KvWatch, Spine } from "../../shared/spine/contract/spine.ts";
import type { Subscription } from "../../shared/spine/contract/spine_message.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { slice } from "../../shared/turns/slices.ts";
import type { Records, StreamKey } from "./record.ts";

/** How often waiters check whether the process drains, and whether they may continue to wait, in ms. */
const LOOK_MS = 1_000;

interface Watched {
  readonly ready: Promise<void>;
  readonly end: () => void;
  readers: number;
  count: number;
  /** Ends each wait, and says whether it may continue. */
  readonly waiting: Map<() => void, () => boolean>;
}

interface WakesOptions {
  readonly spine: Pick<Spine, "subscribe" | "flush" | "onEvent">;
  readonly records: Pick<Records, "watch">;
  readonly isDraining: () => boolean;
}

/** One reader's view of a stream until it is disposed of. */
export interface Wake extends Disposable {
  /** Changes whenever something may have happened. */
  readonly count: number;
  /**
   * Resolves when `count` differs from `seen`, after `wait_ms`, when the process drains, when the reader has `gone`, or
   * a second after `mayWait` returns false.
   */
  after(seen: number, wait_ms: number, gone: AbortSignal, mayWait: () => boolean): Promise<void>;
}

/** The streams with waiters. */
export class StreamWakes {
  readonly #options: WakesOptions;
  readonly #watched = new Map<string, Watched>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #stopEvents: (() => void) | undefined;

  constructor(options: WakesOptions) {
    this.#options = options;
  }

  /** Starts to watch; later events change `count`. Rejects as the Spine does. */
  async watch(key: StreamKey): Promise<Wake> {
    const name = `${key.tenant_id}/${key.room_id}`;
    const watched = this.#watched.get(name) ?? this.#begin(name, key);
    watched.readers++;
    try {
      await watched.ready;
    } catch (error) {
      this.#leave(name, watched);
      throw error;
    }
    let left = false;
    return {
      get count() {
        return watched.count;
      },
      after: async (seen, wait_ms, gone, mayWait) => {
        if (this.#options.isDraining()) return;
        await changed(watched, seen, wait_ms, gone, mayWait);
        // One message wakes all waiters.
        await slice(key.tenant_id);
      },
      [Symbol.dispose]: () => {
        if (!left) this.#leave(name, watched);
        left = true;
      },
    };
  }

  #begin(name: string, key: StreamKey): Watched {
    const { spine, records } = this.#options;
    const onChange = () => wake(watched);
    let subscription: Subscription | undefined;
    let record: KvWatch | undefined;
    let ended = false;
    const open = async () => {
      subscription = spine.subscribe(roomSubject("in", key.tenant_id, key.room_id), onChange, {
        reads_only: true,
      });
      const opened = await records.watch(key, onChange);
      if (ended) return opened.stop();
      record = opened;
      await Promise.all([opened.ready, spine.flush()]);
    };
    const watched: Watched = {
      ready: open(),
      end: () => {
        ended = true;
        subscription?.unsubscribe();
        record?.stop();
      },
      readers: 0,
      count: 0,
      waiting: new Map(),
    };
    this.#watched.set(name, watched);
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
    // After a gap, missed changes are unknown.
    this.#stopEvents ??= spine.onEvent(({ type }) => {
      if (type === "gap" || type === "log") this.#wakeAll();
    });
    return watched;
  }

  #leave(name: string, watched: Watched): void {
    if (--watched.readers > 0) return;
    watched.end();
    if (this.#watched.get(name) === watched) this.#watched.delete(name);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#stopEvents?.();
    this.#timer = this.#stopEvents = undefined;
  }

  #look(): void {
    if (this.#options.isDraining()) return this.#wakeAll();
    for (const { waiting } of this.#watched.values()) {
      for (const [resolve, mayWait] of waiting) if (!mayWait()) resolve();
    }
  }

  #wakeAll(): void {
    for (const watched of this.#watched.values()) wake(watched);
  }
}

function wake(watched: Watched): void {
  watched.count++;
  for (const resolve of watched.waiting.keys()) resolve();
  watched.waiting.clear();
}

async function changed(
  watched: Watched,
  seen: number,
  wait_ms: number,
  gone: AbortSignal,
  mayWait: () => boolean,
): Promise<void> {
  if (watched.count !== seen || wait_ms <= 0 || gone.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  watched.waiting.set(resolve, mayWait);
  const timer = setTimeout(resolve, wait_ms);
  const onGone = () => resolve();
  gone.addEventListener("abort", onGone);
  try {
    await promise;
  } finally {
    gone.removeEventListener("abort", onGone);
    clearTimeout(timer);
    watched.waiting.delete(resolve);
  }
}
