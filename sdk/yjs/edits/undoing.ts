/**
 * Takes back local changes that the bus refused, in the document in which the user goes on writing. Yjs's
 * own UndoManager does it: what was inserted is deleted, what was deleted is put back.
 */
import * as Y from "yjs";

/** The changes of some transactions, as they can be taken back. */
export type Steps = Y.UndoManager["undoStack"];

/** Every origin is tracked: editors and their own undo managers each have one. */
class Everything extends Set<unknown> {
  override has(): boolean {
    return true;
  }
}

/** Remembers local changes of a document until they are stored. */
export class Undoing {
  readonly #doc: Y.Doc;
  readonly #manager: Y.UndoManager;
  /** The origin of changes that others or the log made, and of our own bookkeeping. */
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

  /** The origin of transactions that take something back. */
  get origin(): unknown {
    return this.#manager;
  }

  /** The local changes since the last call. */
  take(): Steps {
    return this.#manager.undoStack.splice(0);
  }

  /** Forgets steps: what they deleted need not be put back. */
  release(steps: Steps): void {
    this.#with(steps, () => {
      // `clear` opens a transaction, which is none of the editor's.
      this.#doc.transact(() => this.#manager.clear(true, true), this.#foreign);
    });
  }

  /** Takes steps back, the last first. False when there was nothing that could be. */
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
