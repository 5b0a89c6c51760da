/**
 * Creates the documents of rooms that got their first member. A storm of joins becomes a bounded queue of creations. A
 * room created by a command is not queued here: the command's own write creates it.
 */
import type { ClusterView, RoomAddress } from "../../cluster_view.ts";
import { emptyDocument } from "../store/document.ts";
import { writeRoom } from "../store/room_store.ts";
import type { RoomContext } from "../room/room.ts";
import { encodeDocument } from "../store/stored_document.ts";
import { ENTRY_BYTES } from "../../../shared/spine/bucket_shares.ts";

/** The dependencies of the queue of creations. */
export interface BirthOptions {
  readonly context: RoomContext;
  readonly view: Pick<ClusterView, "count">;
  /** The most queued rooms. */
  readonly waiting_max: number;
}

/** Concurrent creations: round trips to the bucket overlap, and other work is not starved. */
const CONCURRENCY = 16;

/** The queue of rooms to create; one per Brain. */
export class BirthQueue {
  readonly #options: BirthOptions;
  /** In order of arrival. */
  readonly #waiting = new Map<string, RoomAddress>();
  readonly #workers = new Set<Promise<void>>();
  #stopped = false;
  /** True if a room did not fit into the queue since the last check: the sweep must find it. */
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
      this.#refuse("queue-full");
      return;
    }
    this.#waiting.set(id, at);
    if (this.#workers.size >= CONCURRENCY) return;
    const worker = this.#work();
    this.#workers.add(worker);
    worker.finally(() => this.#workers.delete(worker));
  }

  /** Whether rooms did not fit since the last call. */
  takeOverflow(): boolean {
    const overflowed = this.#overflowed;
    this.#overflowed = false;
    return overflowed;
  }

  /** Drops the queued rooms; resolves when no creation is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#waiting.clear();
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    // One iterator, which also reaches rooms added meanwhile: each new one would skip the holes of all rooms before.
    for (const [id, at] of this.#waiting) {
      this.#waiting.delete(id);
      await this.#create(at);
    }
  }

  #refuse(reason: "room-limit" | "room-bytes-limit" | "queue-full" | "failed"): void {
    this.#options.context.metrics.lifecycle_refused.inc({ reason });
  }

  async #create(at: RoomAddress): Promise<void> {
    const { context, view } = this.#options;
    const { connections } = view.count(at.tenant_id, at.room_id);
    if (!context.isOwner(at) || connections === 0) return;
    if (context.birthRefusal(at.tenant_id) !== undefined) return this.#refuse("room-limit");
    const now_ms = context.now();
    try {
      await context.lives.prove();
      const start = context.firstVersion(now_ms);
      const life = context.lives.present;
      const document = { ...emptyDocument(), created_ms: now_ms, life, start, version: start };
      const value = encodeDocument(document);
      const grown_bytes = value.length + ENTRY_BYTES;
      if (!await context.bytes.take(at.tenant_id, grown_bytes)) {
        return this.#refuse("room-bytes-limit");
      }
      const stored = await writeRoom(at, document, 0, context, value);
      // Lost the race: the room already exists, which is enough.
      if (stored === undefined) return context.bytes.add(at.tenant_id, -grown_bytes);
      context.onCreated(at);
      context.saying.born(at, stored.document);
    } catch (error) {
      this.#refuse("failed");
      context.log.warn("a room could not be made", {
        tenant_id: at.tenant_id,
        room: at.room_id,
        error,
      });
    }
  }
}
