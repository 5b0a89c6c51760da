/**
 * Makes the documents of rooms that have got their first member. A storm of joins becomes a bounded
 * queue of creations. Rooms that a command makes do not pass here: its own write is their birth.
 */
import type { ArqonError } from "@arqon/proto";
import type { Logger } from "../../shared/log.ts";
import type { RoomAddress } from "./command.ts";
import { emptyDocument } from "./document.ts";
import { writeRoom } from "./room_store.ts";
import type { StoreContext } from "./room_store.ts";

/** Why a room was not made, or not ended. */
export type LifecycleRefusal = "room-limit" | "queue-full" | "failed";

/** What births need. */
export interface BirthOptions {
  readonly context: StoreContext;
  /** Rooms that may wait. */
  readonly waiting_max: number;
  /** Whether the room still needs a document, as its owner sees it. */
  readonly isWanted: (at: RoomAddress) => boolean;
  /** Why the tenant may have no further room; undefined: it may. */
  readonly refusal: (tenant_id: string) => ArqonError | undefined;
  readonly onCreated: (at: RoomAddress) => void;
  readonly onRefused: (reason: LifecycleRefusal) => void;
  readonly log: Logger;
}

/** Creations under way at a time: the bucket's round trips overlap, other work still gets through. */
const CONCURRENCY = 16;

/** One per Brain. */
export class BirthQueue {
  readonly #options: BirthOptions;
  /** In order of arrival. */
  readonly #waiting = new Map<string, RoomAddress>();
  readonly #workers = new Set<Promise<void>>();
  #stopped = false;
  /** A room did not fit since the last look: somebody must go through them all. */
  #overflowed = false;

  constructor(options: BirthOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Puts a room into the queue, once. */
  add(at: RoomAddress): void {
    if (this.#stopped) return;
    const id = `${at.tenant_id}.${at.room_id}`;
    if (this.#waiting.size >= this.#options.waiting_max && !this.#waiting.has(id)) {
      this.#overflowed = true;
      this.#options.onRefused("queue-full");
      return;
    }
    this.#waiting.set(id, at);
    if (this.#workers.size >= CONCURRENCY) return;
    const worker = this.#work();
    this.#workers.add(worker);
    worker.finally(() => this.#workers.delete(worker));
  }

  /** Whether rooms were turned away since the last call. */
  takeOverflow(): boolean {
    const overflowed = this.#overflowed;
    this.#overflowed = false;
    return overflowed;
  }

  /** Drops what waits; resolves when nothing is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    for (;;) {
      const next = this.#waiting.entries().next();
      if (next.done) return;
      const [id, at] = next.value;
      this.#waiting.delete(id);
      await this.#create(at);
    }
  }

  async #create(at: RoomAddress): Promise<void> {
    const { context, isWanted, refusal, onCreated, onRefused, log } = this.#options;
    if (!isWanted(at)) return;
    if (refusal(at.tenant_id) !== undefined) return onRefused("room-limit");
    const now_ms = context.now();
    const document = { ...emptyDocument(), created_ms: now_ms, touched_ms: now_ms };
    try {
      // Lost: it exists already, which is all that is wanted.
      const stored = await writeRoom(at, document, 0, context);
      if (stored === undefined) return;
      onCreated(at);
      const hearing = context.hearings.of(at);
      hearing.term = context.term().number;
      hearing.doubt = !context.announcer.created(at, stored.document);
    } catch (error) {
      onRefused("failed");
      log.warn("a room could not be made", { tenant_id: at.tenant_id, room: at.room_id, error });
    }
  }
}
