/**
 * When a Brain that starts may serve: not before it has read every Shield, for to those that watch a
 * room a Shield that it does not know is one that is gone.
 */
import type { PresencePort } from "../../shared/presence/messages.ts";

/** Times that it asks who is there: a question may be lost. */
const HELLOS = 3;

/** What it needs. Durations in ms. */
export interface StartingOptions {
  readonly port: PresencePort;
  /** In this time everybody has said that he is there. */
  readonly settle_ms: number;
  /** After this it serves even if somebody cannot be read. */
  readonly patience_ms: number;
  /** Asks who is there. */
  readonly ask: () => void;
  /** Nobody is left who has not said that he is there, so that there is nothing to wait for. */
  readonly knowsAll: () => boolean;
  /** Something that is known to exist is still to be read. */
  readonly isReading: () => boolean;
  /** Serves; does nothing when it does, or drains. */
  readonly serve: () => void;
}

/** The time until a Brain serves. */
export class Starting {
  readonly #options: StartingOptions;
  #asked = 0;
  #settled = false;
  #cancelAsk = () => {};
  #cancelPatience = () => {};

  constructor(options: StartingOptions) {
    this.#options = options;
  }

  /** Asks, and begins to wait. */
  begin(): void {
    const { port, patience_ms, serve } = this.#options;
    this.#cancelPatience = port.after(patience_ms, serve);
    this.#ask();
  }

  /** Something has been read. */
  check(): void {
    if (!this.#settled || this.#options.isReading()) return;
    this.close();
    this.#options.serve();
  }

  /** Stops the timers. */
  close(): void {
    this.#cancelAsk();
    this.#cancelPatience();
  }

  #ask = (): void => {
    const { port, settle_ms, ask, knowsAll } = this.#options;
    if (this.#asked === HELLOS || (this.#asked > 0 && knowsAll())) {
      this.#settled = true;
      this.check();
      return;
    }
    this.#asked += 1;
    ask();
    this.#cancelAsk = port.after(settle_ms / HELLOS, this.#ask);
  };
}
