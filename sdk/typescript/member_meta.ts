/**
 * What others see of this member in one room: the metadata that a Shield took last, changes that no
 * Shield has taken yet, and what the Shield of the present session has. Which SUB leaves when is
 * `subscriptions.ts`.
 */
import { ArqonError } from "@arqon/proto";

/** Metadata that no Shield has acknowledged yet. */
export interface MetaUpdate extends PromiseWithResolvers<void> {
  /** Grows: the last one wins. */
  readonly number: number;
  readonly meta: Uint8Array;
}

/** The metadata of one SUB. */
export interface CarriedMeta {
  readonly meta: Uint8Array;
  /** That of the change; 0: what the subscription began with. */
  readonly number: number;
  /** Those who wait for it. */
  readonly updates: readonly MetaUpdate[];
}

/** Changes of one room's metadata that may wait. */
const UPDATES_MAX = 256;

/** Metadata is JSON as bytes; empty: none. */
export class MemberMeta {
  #taken: Omit<CarriedMeta, "updates">;
  #standing: Uint8Array;
  #waiting: MetaUpdate[] = [];
  #number = 0;

  constructor(meta: Uint8Array) {
    this.#taken = { meta, number: 0 };
    this.#standing = meta;
  }

  /** What a Shield took last, or the first. */
  get taken(): Uint8Array {
    return this.#taken.meta;
  }

  /** The Shield of the present session lacks something, if it has answered at all. */
  get is_due(): boolean {
    return this.#waiting.length > 0 || this.#standing !== this.#taken.meta;
  }

  /** Resolves when a Shield has taken it. Rejects with `too-many-pending`, or why it was not taken. */
  change(meta: Uint8Array): Promise<void> {
    if (this.#waiting.length >= UPDATES_MAX) {
      throw new ArqonError("too-many-pending", `${UPDATES_MAX} changes of metadata wait`);
    }
    const update = { ...Promise.withResolvers<void>(), number: ++this.#number, meta };
    this.#waiting.push(update);
    return update.promise;
  }

  /** For a SUB; that of the present session takes along what waits. */
  carry(is_next: boolean): CarriedMeta {
    const updates = is_next ? [] : this.#waiting.splice(0);
    const { meta, number } = updates.at(-1) ?? this.#taken;
    return { meta, number, updates };
  }

  /** The Shield of the present session has it. It may be older than what another one took meanwhile. */
  take({ meta, number, updates }: CarriedMeta): void {
    if (number >= this.#taken.number) this.#taken = { meta, number };
    this.#standing = meta;
    for (const update of updates) update.resolve();
  }

  /** The Shield of what is the present session from here on has that. */
  crossed(meta: Uint8Array): void {
    this.#standing = meta;
  }

  /** These wait again. */
  keep(updates: readonly MetaUpdate[]): void {
    this.#waiting = [...this.#waiting, ...updates].sort((a, b) => a.number - b.number);
  }

  /** Nobody takes any more. */
  end(error: ArqonError): void {
    for (const update of this.#waiting.splice(0)) update.reject(error);
  }
}
