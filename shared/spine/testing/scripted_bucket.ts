/**
 * A bucket and its connection, both controlled by the test: it decides when watches deliver, and a disconnect loses
 * undelivered changes. Has only what an in-memory reader needs. Tests only.
 */
import { ArqonError } from "@arqon/proto";
import { turn } from "../../testing/pace.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvWatch,
  Spine,
  SpineEvent,
  SpineState,
} from "../contract/spine.ts";

interface Scripted {
  readonly onChange: (change: KvChange) => void;
  readonly ready: PromiseWithResolvers<void>;
  /** Undelivered changes; undefined: the end of the listing. */
  readonly waiting: (KvChange | undefined)[];
}

/** The store, the connection to it, and the watches of it. */
export class ScriptedBucket {
  readonly #stored = new Map<string, KvEntry>();
  readonly #listeners = new Set<(event: SpineEvent) => void>();
  readonly #watches = new Set<Scripted>();
  #revision = 0;
  #state: SpineState = "connected";
  /** Watches begun so far, including failed ones. */
  begun = 0;

  /** The bucket for its reader. */
  get bucket(): KeyValue {
    const watch: KeyValue["watch"] = (_prefix, onChange) => this.#watch(onChange);
    return { watch } as KeyValue;
  }

  /** The Spine for its reader. */
  get spine(): Pick<Spine, "status" | "onEvent"> {
    const status = () => this.#status();
    return {
      get status() {
        return status();
      },
      onEvent: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
  }

  get entries(): readonly KvEntry[] {
    return [...this.#stored.values()];
  }

  /** Whether every watch has delivered all. */
  get is_delivered(): boolean {
    return [...this.#watches].every(({ waiting }) => waiting.length === 0);
  }

  get open(): number {
    return this.#listeners.size + this.#watches.size;
  }

  put(key: KvKey, text: string): KvEntry {
    const entry = { key, value: new TextEncoder().encode(text), revision: ++this.#revision };
    this.#stored.set(JSON.stringify(key), entry);
    this.#queue({ type: "put", ...entry });
    return entry;
  }

  delete(key: KvKey): void {
    if (!this.#stored.delete(JSON.stringify(key))) return;
    this.#queue({ type: "delete", key, revision: ++this.#revision });
  }

  /** Replaces the bucket by a new, empty one, without a notification. */
  replace(): void {
    this.#stored.clear();
    this.#revision = 0;
  }

  /** Delivers this many changes, or all; a listing's end counts as one. */
  async deliver(count: number = Infinity): Promise<void> {
    for (let delivered = 0; delivered < count; delivered++) {
      const watch = [...this.#watches].find(({ waiting }) => waiting.length > 0);
      if (watch === undefined) return;
      const change = watch.waiting.shift();
      if (change === undefined) {
        watch.ready.resolve();
        await turn();
      } else watch.onChange(change);
    }
  }

  /** Notifies the listeners; while disconnected nothing is delivered, and undelivered changes are lost. */
  turnTo(state: SpineState): void {
    this.#state = state;
    if (state !== "connected") { for (const { waiting } of this.#watches) waiting.length = 0; }
    for (const listener of [...this.#listeners]) {
      listener({ type: "state", status: this.#status() });
    }
  }

  /** Ends the watches as a closed engine does. */
  async fail(): Promise<void> {
    for (const { ready } of this.#watches) {
      ready.reject(new ArqonError("spine-unavailable", "failed"));
    }
    await turn();
  }

  #watch(onChange: (change: KvChange) => void): KvWatch {
    this.begun++;
    if (this.#state !== "connected") throw new ArqonError("spine-unavailable", this.#state);
    const puts = this.entries.map((entry): KvChange => ({ type: "put", ...entry }));
    const ready = Promise.withResolvers<void>();
    ready.promise.catch(() => {});
    const watch: Scripted = { onChange, ready, waiting: [...puts, undefined] };
    this.#watches.add(watch);
    return { ready: ready.promise, stop: () => void this.#watches.delete(watch) };
  }

  #queue(change: KvChange): void {
    if (this.#state !== "connected") return;
    for (const { waiting } of this.#watches) waiting.push(change);
  }

  #status(): Spine["status"] {
    return {
      engine: "nats",
      since_ms: 0,
      reconnects: 0,
      pending_bytes: 0,
      slow_consumers: 0,
      state: this.#state,
    };
  }
}
