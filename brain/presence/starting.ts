/**
 * When a Brain that starts may serve: only after it has read every Shield. A Shield that it does
 * not know would look gone to those who watch a room.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";

/** How often it asks who is there: a question may be lost. */
const HELLOS = 3;

/** What the start needs. Durations in ms. */
export interface StartingOptions {
  readonly port: PresencePort;
  /** Within this time every process has said that it is there. */
  readonly settle_ms: number;
  /** After this time the Brain serves even if some Shield cannot be read. */
  readonly patience_ms: number;
  /** Asks who is there. */
  readonly ask: () => void;
  /** Runs it once all that was said before is received, and the answers too. */
  readonly onceHeard: (run: () => void) => void;
  /** Whether every process is known already, so that there is nothing to wait for. */
  readonly knowsAll: () => boolean;
  /** Whether something that is known to exist is still to be read. */
  readonly isReading: () => boolean;
  /** Begins to serve; does nothing when the Brain serves already, or drains. */
  readonly serve: () => void;
}

/** The time from a Brain's start until it serves. */
export class Starting {
  readonly #options: StartingOptions;
  #asked = 0;
  #settled = false;
  #closed = false;
  #cancelAsk = () => {};
  #cancelPatience = () => {};

  constructor(options: StartingOptions) {
    this.#options = options;
  }

  /** Asks who is there, and begins to wait. */
  begin(): void {
    const { port, patience_ms, serve, onceHeard } = this.#options;
    // A process that was held up has more to read than it knows of.
    this.#cancelPatience = port.after(patience_ms, () => onceHeard(serve));
    this.#ask();
  }

  /** To be called when something has been read. */
  check(): void {
    if (!this.#settled || this.#options.isReading()) return;
    this.close();
    this.#options.serve();
  }

  /** Stops the timers. */
  close(): void {
    this.#closed = true;
    this.#cancelAsk();
    this.#cancelPatience();
  }

  #ask = (): void => {
    const { port, settle_ms, ask, knowsAll, onceHeard } = this.#options;
    if (this.#closed) return;
    if (this.#asked === HELLOS || (this.#asked > 0 && knowsAll())) {
      this.#settled = true;
      this.check();
      return;
    }
    this.#asked += 1;
    ask();
    this.#cancelAsk = port.after(settle_ms / HELLOS, () => onceHeard(this.#ask));
  };
}
