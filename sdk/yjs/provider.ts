/** A Yjs document in a durable room: reading, local changes, awareness. */
import * as Y from "yjs";
import { ArqonError } from "@arqon/sdk";
import type { Message, PresenceSubscription, Room, Subscription } from "@arqon/sdk";
import type { Awareness } from "y-protocols/awareness.js";
import { linkAwareness, metaOf } from "./awareness.ts";
import { cleaned, documentOf, hasHoles, isFinal, missing, pause, Writer } from "./edits/writer.ts";
import { Compaction, type LogReading, readLog } from "./log/read_log.ts";
import { LIVE_FILTER, markOf, newName, publishSnapshot, publishUpdate } from "./log/records.ts";
import { UPDATE } from "./log/records.ts";
import type { LooseUpdate } from "./log/read_log.ts";

/** The state of a provider. */
export interface ProviderState {
  /**
   * Whether the document has everything from the last reading of the room; false during a reading, and while the room
   * has lost messages that no snapshot contains.
   */
  readonly synced: boolean;
  /** Whether there are local changes that are not stored yet. */
  readonly unsaved: boolean;
  /** Whether local changes are reverted at once, by `read_only` or because a publish was not granted. */
  readonly read_only: boolean;
}

/** Options of a provider, all optional. */
export interface ProviderOptions {
  /** The members' cursors and names; needs the grant `presence`. Without it this client is not a member. */
  readonly awareness?: Awareness;
  /** True: this editor never writes; default false. The first refusal detects a missing grant. */
  readonly read_only?: boolean;
  /**
   * A snapshot is made after this many messages with updates; default 200. The room's class must keep several times as
   * many (`history_size`).
   */
  readonly snapshot_updates?: number;
  /** A snapshot is also made after this many bytes of updates; default 1 MiB. */
  readonly snapshot_bytes?: number;
  /**
   * An editor that opens a document with messages older than this makes a snapshot, before they expire; in ms, default
   * 12 hours. It must be less than half of the class's `history_ttl_seconds`.
   */
  readonly refresh_ms?: number;
  /** Updates and snapshots are split into messages of at most this many bytes; default 128 KiB. */
  readonly part_bytes?: number;
  /** The most bytes of messages buffered for the document; default 32 MiB. */
  readonly buffer_bytes?: number;
  /** The shortest interval between updates of the own awareness, in ms; default 100. */
  readonly throttle_ms?: number;
  /** The first wait before a retry, in ms, doubled up to 5 s; default 250. */
  readonly retry_ms?: number;
  /** Receives every change of `YjsProvider.state`. */
  readonly onState?: (state: ProviderState) => void;
  /** Called when a change was refused, by a policy or for a missing grant, and has been reverted. */
  readonly onRefused?: (error: ArqonError) => void;
  /** Receives errors that are retried, and invalid updates; default: they are ignored. */
  readonly onError?: (error: unknown) => void;
  /** Unix ms; default the device's clock. */
  readonly now?: () => number;
}

const HOUR_MS = 3_600_000;
const NOBODY = () => {};

/** The options with their defaults. Throws TypeError for a number below 1. */
function settingsOf(options: ProviderOptions) {
  const {
    read_only = false,
    snapshot_updates = 200,
    snapshot_bytes = 1_048_576,
    refresh_ms = 12 * HOUR_MS,
    part_bytes = 131_072,
    buffer_bytes = 33_554_432,
    throttle_ms = 100,
    retry_ms = 250,
    onState = NOBODY,
    onRefused = NOBODY,
    onError = NOBODY,
    now = () => Date.now(),
  } = options;
  const numbers = { snapshot_updates, snapshot_bytes, refresh_ms, part_bytes, buffer_bytes };
  for (const [name, value] of Object.entries({ ...numbers, throttle_ms, retry_ms })) {
    if (!(value >= 1)) throw new TypeError(`${name} is ${value}; expected at least 1`);
  }
  return { read_only, ...numbers, throttle_ms, retry_ms, onState, onRefused, onError, now };
}

/**
 * Synchronises a document with a durable room: it stores local changes in the room, and applies remote changes to the
 * document, also those missed while disconnected.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { YjsProvider } from "@arqon/yjs";
 * import * as Y from "yjs";
 *
 * const bus = await connect({ url: "localhost:4000", token: "…" });
 * const doc = new Y.Doc();
 * const provider = new YjsProvider(bus.room("doc-1"), doc);
 * await provider.ready; // the document has the content of the room
 * doc.getText("body").insert(0, "hello");
 * await provider.saved(); // the room has this change
 * provider.destroy();
 * ```
 */
export class YjsProvider {
  readonly room: Room;
  readonly doc: Y.Doc;
  readonly awareness: Awareness | undefined;
  /**
   * Resolves when the document has the content that the room had at the provider's creation. Rejects if the room has
   * lost messages that no snapshot contains, so that content is missing: the provider goes on, and `state.synced` is
   * true once another editor has stored it again. Rejects with the refusal of the subscription, for example
   * `not-durable`, and with `AbortError` after `destroy`.
   */
  readonly ready: Promise<void>;
  /**
   * Resolves at the end: with the error that ended it (`disconnected` after a kick, `room-banned` after a ban), or with
   * undefined after `destroy`.
   */
  readonly closed: Promise<unknown>;
  readonly #settings: ReturnType<typeof settingsOf>;
  readonly #life = new AbortController();
  readonly #ready = Promise.withResolvers<void>();
  /** The prefix of the ids of this provider's messages. */
  readonly #session = `${newName()}.`;
  #published = 0;
  readonly #writer: Writer;
  readonly #compaction: Compaction;
  readonly #waiting = new Set<() => void>();
  #reading: LogReading | undefined;
  #is_compacting = false;
  /** Whether own messages arrive: `echo = false` of the room's class withholds them. */
  #has_echo = false;
  #is_synced = false;
  #reported = "";
  /** The error that has ended it. */
  #failure: unknown;

  /** Throws as `Room.subscribe` does. At most one provider for a room on a connection. */
  constructor(room: Room, doc: Y.Doc, options: ProviderOptions = {}) {
    this.#settings = settingsOf(options);
    this.room = room;
    this.doc = doc;
    this.awareness = options.awareness;
    this.ready = this.#ready.promise;
    // A program that ignores it gets the failure from `closed`.
    this.ready.catch(() => {});
    this.#compaction = new Compaction({
      updates: this.#settings.snapshot_updates,
      bytes: this.#settings.snapshot_bytes,
    });
    const { signal } = this.#life;
    const { part_bytes, retry_ms } = this.#settings;
    this.#writer = new Writer(doc, {
      origin: this,
      retry_ms,
      signal,
      publish: async (update) => {
        const sent = await publishUpdate(room, update, { set: this.#newSet(), part_bytes, signal });
        const size_bytes = update.length / sent.length;
        // With an echo the log's order decides which one is due.
        if (this.#has_echo) return;
        for (const { offset } of sent) this.#count({ offset: Number(offset), size_bytes }, true);
      },
      refused: (error) => this.#settings.onRefused(error),
      failed: (error) => this.#fail(error),
      changed: () => this.#tell(),
    });
    this.#writer.read_only = this.#settings.read_only;
    this.closed = this.#run();
    doc.on("destroy", this.#end);
  }

  /** The present state; `onState` receives every change. */
  get state(): ProviderState {
    const { unsaved, read_only } = this.#writer;
    return { synced: this.#is_synced, unsaved, read_only };
  }

  /** Allows writing again after a missing grant, or forbids it: then local changes are reverted. */
  set read_only(read_only: boolean) {
    this.#writer.read_only = read_only;
  }

  /** Resolves when all local changes are stored or refused. Rejects with the error that has ended the provider. */
  async saved(): Promise<void> {
    while (this.#writer.unsaved && !this.#life.signal.aborted) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Leaves the room. The document stays unchanged; unstored changes are only in it. */
  destroy(): void {
    this.#end();
  }

  [Symbol.dispose](): void {
    this.#end();
  }

  #end = (): void => {
    if (this.#life.signal.aborted) return;
    this.doc.off("destroy", this.#end);
    this.#life.abort();
    this.#writer.destroy();
    this.#tell();
  };

  async #run(): Promise<unknown> {
    const { signal } = this.#life;
    try {
      return await this.#follow(this.#subscribe());
    } catch (error) {
      this.#ready.reject(error);
      if (!signal.aborted) this.#failure = error;
      return this.#failure;
    } finally {
      this.#end();
    }
  }

  #subscribe(): Subscription {
    const { signal } = this.#life;
    const options = { filter: LIVE_FILTER, signal, buffer_bytes: this.#settings.buffer_bytes };
    const { awareness } = this;
    if (awareness === undefined) return this.room.subscribe(options);
    const member_meta = metaOf(awareness);
    return this.room.subscribe({ ...options, presence: true, member_meta });
  }

  async #follow(messages: Subscription): Promise<never> {
    await messages.ready;
    const { awareness } = this;
    if (awareness !== undefined) this.#linkAwareness(awareness, messages as PresenceSubscription);
    const is_empty = this.doc.store.clients.size === 0;
    await this.#load(is_empty);
    this.#ready.resolve();
    let signal: Message["signal"];
    for await (const message of messages) {
      ({ signal } = message);
      const reason = signal?.reason;
      if (message.signal === undefined) {
        this.#take(message);
        const may_be_whole = !hasHoles(this.doc) || markOf(message) !== undefined;
        if (!this.#is_synced && may_be_whole) await this.#load(false);
      } else if (
        message.signal.kind === "GAP" && reason !== "changes-lost" && reason !== "unreadable"
      ) {
        await this.#load(false);
      }
    }
    this.#life.signal.throwIfAborted();
    const reason = signal?.kind === "BAN" ? "room-banned" : "disconnected";
    throw new ArqonError(reason, `${this.room.id}: ${signal?.reason}`);
  }

  #linkAwareness(awareness: Awareness, subscription: PresenceSubscription): void {
    const { signal } = this.#life;
    const { throttle_ms } = this.#settings;
    const failed = (error: unknown) => {
      if (!signal.aborted) this.#fail(error);
    };
    const port = { origin: this, throttle_ms, failed, signal };
    linkAwareness(awareness, subscription, port).catch(failed);
  }

  /** Applies the room's content to the document, then publishes what the room lacks. */
  async #load(is_empty: boolean): Promise<void> {
    this.#is_synced = false;
    this.#tell();
    const reading = await this.#read();
    this.#reading = reading;
    this.#compaction.begin(reading.loose);
    if (is_empty) this.#apply(this.doc, reading.updates);
    else {
      const stored = this.#apply(new Y.Doc({ gc: this.doc.gc }), reading.updates);
      Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(stored), this);
      const more = missing(this.doc, stored);
      if (more !== undefined && !this.#writer.read_only) this.#writer.add(more);
      stored.destroy();
    }
    this.#is_synced = !hasHoles(this.doc);
    this.#tell();
    if (!this.#is_synced) {
      const error = new Error(
        `the room ${this.room.id} has lost messages that no snapshot contains`,
      );
      this.#ready.reject(error);
      this.#fail(error);
    }
    const { now, refresh_ms } = this.#settings;
    const is_old = now() - (reading.oldest_ms ?? Infinity) > refresh_ms;
    if (is_old) this.#compact();
  }

  async #read(): Promise<LogReading> {
    const { signal } = this.#life;
    for (;;) {
      try {
        return await readLog(this.room, signal);
      } catch (error) {
        if (signal.aborted || isFinal(error)) throw error;
        if ((error as ArqonError).reason === "connection-closed") throw error;
        this.#fail(error);
        await pause(this.#settings.retry_ms, signal);
      }
    }
  }

  #newSet(): string {
    return `${this.#session}${(this.#published++).toString(36)}`;
  }

  #take(message: Message): void {
    const { assembler } = this.#reading as LogReading;
    const offset = Number(message.offset);
    // The reading already contained it.
    if (offset <= (assembler.last?.offset ?? 0)) return;
    const update = assembler.take(message);
    const is_own = message.message_id.startsWith(this.#session);
    if (update !== undefined && !is_own) this.#apply(this.doc, [update]);
    const mark = markOf(message);
    if (mark !== undefined) this.#compaction.held(mark.upto.offset);
    this.#has_echo ||= is_own;
    if (message.type === UPDATE) this.#count({ offset, size_bytes: message.data.length }, is_own);
  }

  #count(update: LooseUpdate, is_own: boolean): void {
    if (this.#compaction.count(update) && is_own) this.#compact();
  }

  /** Invalid updates are reported and skipped, as by every reader. */
  #apply(doc: Y.Doc, updates: readonly Uint8Array[]): Y.Doc {
    for (const update of updates) {
      try {
        Y.applyUpdate(doc, update, this);
      } catch (error) {
        this.#fail(error);
      }
    }
    return doc;
  }

  /** Stores a snapshot, unless one of this editor is under way. It contains only what the room has. */
  async #compact(): Promise<void> {
    if (this.#is_compacting || this.#writer.read_only) return;
    this.#is_compacting = true;
    const { signal } = this.#life;
    try {
      const is_known = this.#has_echo && this.#writer.is_even;
      const taken = is_known
        ? { doc: cleaned(this.doc), upto: this.#reading?.assembler.floor }
        : await this.#fromLog();
      if (taken?.upto === undefined || hasHoles(taken.doc)) return;
      const { part_bytes } = this.#settings;
      const snapshot = Y.encodeStateAsUpdate(taken.doc);
      await publishSnapshot(this.room, snapshot, taken.upto, { part_bytes, signal });
      this.#compaction.held(taken.upto.offset);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    } finally {
      this.#is_compacting = false;
    }
  }

  async #fromLog() {
    const { updates, assembler, is_whole } = await readLog(this.room, this.#life.signal);
    const doc = documentOf(updates, this.doc.gc);
    if (is_whole && !hasHoles(doc)) return { doc, upto: assembler.floor };
    // No snapshot was made in time, and the log lacks what only the editors still have.
    await this.saved();
    if (!this.#writer.is_even) return undefined;
    const here = Y.encodeStateAsUpdate(this.doc);
    return { doc: documentOf([here, ...updates], this.doc.gc), upto: assembler.floor };
  }

  #fail(error: unknown): void {
    this.#settings.onError(error);
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
    const state = this.state;
    const text = JSON.stringify(state);
    if (text === this.#reported) return;
    this.#reported = text;
    this.#settings.onState(state);
  }
}
