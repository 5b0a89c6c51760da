/** Publishes local changes in the room; Yjs's UndoManager reverts refused ones. */
import * as Y from "yjs";
import type { ArqonError } from "@arqon/sdk";

/** A document from these updates, in any order. */
export function documentOf(updates: readonly Uint8Array[], gc = true): Y.Doc {
  const doc = new Y.Doc({ gc });
  if (updates.length > 0) Y.applyUpdate(doc, Y.mergeUpdates([...updates]));
  return doc;
}

/** Whether both have the same content, deletions included. */
const isSame = (one: Y.Doc, other: Y.Doc): boolean =>
  Y.equalSnapshots(Y.snapshot(one), Y.snapshot(other));

/** Whether updates are missing on which the content depends. */
export const hasHoles = ({ store }: Y.Doc): boolean =>
  store.pendingStructs !== null || store.pendingDs !== null;

/** The updates of `one` that `other` lacks; undefined if there are none. */
export function missing(one: Y.Doc, other: Y.Doc): Uint8Array | undefined {
  return isSame(one, other) ? undefined : Y.encodeStateAsUpdate(one, Y.encodeStateVector(other));
}

/** The whole document without deleted text, even if an editor keeps that for its undo. */
export function cleaned(doc: Y.Doc): Y.Doc {
  return documentOf([Y.encodeStateAsUpdate(doc)], doc.gc);
}

/** Merges updates; of deleted text only the positions remain. */
function presentForm(doc: Y.Doc, updates: readonly Uint8Array[]): Uint8Array {
  const { from } = Y.parseUpdateMeta(Y.mergeUpdates([...updates]));
  const known = Y.decodeStateVector(Y.encodeStateVector(doc));
  for (const [client, clock] of from) known.set(client, clock);
  const copy = documentOf([Y.encodeStateAsUpdate(doc)]);
  return Y.encodeStateAsUpdate(copy, Y.encodeStateVector(known));
}

/** A step of the undo manager: the changes of some transactions. */
type Steps = Y.UndoManager["undoStack"];

/** Tracks every origin: editors and their undo managers each have one. */
class Everything extends Set<unknown> {
  override has(): boolean {
    return true;
  }
}

/** Records local changes of a document until they are stored. */
class Undoing {
  readonly #doc: Y.Doc;
  readonly #manager: Y.UndoManager;
  /** The origin of remote changes, of changes from the log, and of internal ones. */
  readonly #foreign: unknown;

  constructor(doc: Y.Doc, foreign: unknown) {
    this.#doc = doc;
    this.#foreign = foreign;
    this.#manager = new Y.UndoManager(doc, {
      captureTimeout: 0,
      trackedOrigins: new Everything(),
      captureTransaction: ({ local, origin, changed }) =>
        local && origin !== this.#foreign && origin !== this.#manager && changed.size > 0,
    });
  }

  /** The origin of reverting transactions. */
  get origin(): unknown {
    return this.#manager;
  }

  /** The local changes since the last call. */
  take(): Steps {
    return this.#manager.undoStack.splice(0);
  }

  /** Forgets steps: they are no longer revertible. */
  release(steps: Steps): void {
    this.#with(steps, () => {
      // `clear` opens a transaction, which must not count as the editor's.
      this.#doc.transact(() => this.#manager.clear(true, true), this.#foreign);
    });
  }

  /** Reverts steps, the last first. False if there was nothing to revert. */
  revert(steps: Steps): boolean {
    let is_changed = false;
    this.#with(steps, () => {
      while (this.#manager.undoStack.length > 0) {
        is_changed = this.#manager.undo() !== null || is_changed;
      }
    });
    return is_changed;
  }

  destroy(): void {
    this.release(this.take());
    this.#manager.destroy();
  }

  #with(steps: Steps, run: () => void): void {
    const later = this.#manager.undoStack;
    this.#manager.undoStack = steps;
    run();
    this.#manager.undoStack = later;
  }
}

const RETRY_MAX_MS = 5_000;

interface WriterPort {
  /** The origin of changes from the room. */
  readonly origin: unknown;
  /** Stores an update; rejects with the refusal. */
  publish(update: Uint8Array): Promise<void>;
  /** Called when a change was refused and reverted. */
  refused(error: ArqonError): void;
  /** Called when a change could not be stored and will be retried. */
  failed(error: unknown): void;
  /** Called when `unsaved` or `read_only` has changed. */
  changed(): void;
  /** The first wait before a failed update is retried, in ms. */
  readonly retry_ms: number;
  readonly signal: AbortSignal;
}

/** Whether the refusal is final: a retry would be refused, too. */
export function isFinal(error: unknown): error is ArqonError {
  const { code = 503, reason } = (error ?? {}) as Partial<ArqonError>;
  // A policy may choose any code.
  if (reason === "policy-rejected") return true;
  return code >= 400 && code < 500 && reason !== "connection-closed" &&
    ![401, 408, 409, 429].includes(code);
}

/** Publishes the changes of one document. */
export class Writer {
  readonly #doc: Y.Doc;
  readonly #port: WriterPort;
  readonly #undoing: Undoing;
  /** Changes that have not been sent yet. */
  #queue: Uint8Array[] = [];
  /**
   * Refused changes and their reverts, which no reader has. Later changes depend on their positions, so both are
   * published together, without the refused text.
   */
  #held: Uint8Array[] = [];
  #is_running = false;
  #read_only = false;
  /** True if only positions are left to send, and those were refused. */
  #is_stuck = false;

  constructor(doc: Y.Doc, port: WriterPort) {
    this.#doc = doc;
    this.#port = port;
    this.#undoing = new Undoing(doc, port.origin);
    doc.on("update", this.#receive);
  }

  /** True while there are changes to publish. */
  get unsaved(): boolean {
    return this.#is_running || this.#hasWork();
  }

  /** True if the room has every change of the document. */
  get is_even(): boolean {
    return !this.#is_running && this.#queue.length + this.#held.length === 0;
  }

  /** True after a publish was refused for a missing grant: local changes are reverted at once. */
  get read_only(): boolean {
    return this.#read_only;
  }

  set read_only(read_only: boolean) {
    if (this.#read_only === read_only) return;
    this.#read_only = read_only;
    this.#is_stuck = false;
    this.#port.changed();
    this.#run();
  }

  /** Adds changes of the document that the room lacks. */
  add(update: Uint8Array): void {
    this.#queue.push(update);
    this.#run();
  }

  /** Ends; unstored changes stay only in the document. */
  destroy(): void {
    this.#doc.off("update", this.#receive);
    this.#undoing.destroy();
  }

  #receive = (update: Uint8Array, origin: unknown): void => {
    if (origin === this.#port.origin) return;
    if (origin === this.#undoing.origin) return void this.#held.push(update);
    this.#is_stuck = false;
    this.add(update);
  };

  async #run(): Promise<void> {
    if (this.#is_running) return;
    this.#is_running = true;
    this.#port.changed();
    // The calling transaction is still open: its other changes belong to the same update.
    await Promise.resolve();
    while (!this.#port.signal.aborted && this.#hasWork()) await this.#step();
    this.#is_running = false;
    this.#port.changed();
  }

  #hasWork(): boolean {
    return this.#queue.length > 0 || (this.#held.length > 0 && !this.#is_stuck && !this.#read_only);
  }

  async #step(): Promise<void> {
    const updates = this.#queue.splice(0);
    const steps = this.#undoing.take();
    const held = this.#held.splice(0);
    if (this.#read_only) {
      this.#held = [...held, ...updates];
      this.#undoing.revert(steps);
      return;
    }
    try {
      const all = [...held, ...updates];
      await this.#deliver(held.length > 0 ? presentForm(this.#doc, all) : Y.mergeUpdates(all));
      this.#undoing.release(steps);
    } catch (error) {
      this.#held = [...held, ...updates, ...this.#held];
      if (!isFinal(error)) return;
      this.#refuse(error, steps);
    }
  }

  #refuse(error: ArqonError, steps: ReturnType<Undoing["take"]>): void {
    const is_reverted = this.#undoing.revert(steps);
    this.#is_stuck = !is_reverted;
    if (error.reason === "not-granted") {
      this.#read_only = true;
      this.#port.changed();
    }
    this.#port.refused(error);
  }

  /** Stores an update, with retries. Rejects with a final refusal, and at the end of the writer. */
  async #deliver(update: Uint8Array): Promise<void> {
    const { signal, retry_ms } = this.#port;
    for (let wait_ms = retry_ms;; wait_ms = Math.min(2 * wait_ms, RETRY_MAX_MS)) {
      try {
        return await this.#port.publish(update);
      } catch (error) {
        if (signal.aborted || isFinal(error)) throw error;
        this.#port.failed(error);
        await pause(wait_ms, signal);
        if (signal.aborted) throw error;
      }
    }
  }
}

/** Resolves after `ms`, or when the signal is aborted. */
export function pause(wait_ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, signal.aborted ? 0 : wait_ms);
  signal.addEventListener("abort", end);
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
  });
}
