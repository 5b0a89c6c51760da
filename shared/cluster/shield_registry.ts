/** Reads the registry of Shields for questions to the cluster: not for each, and once for all that ask meanwhile. */
import type { Logger } from "../logs/log.ts";
import type { RegisteredShield } from "./known_nodes.ts";

/** What was read holds for so long, in ms: Shields renew their marks as often. */
const FRESH_MS = 5_000;

/** The registry, as one process reads it. */
export class ShieldRegistry {
  readonly #read: () => Promise<readonly RegisteredShield[]>;
  readonly #log: Logger;
  #read_ms = -Infinity;
  #reading: Promise<void> | undefined;

  constructor(read: () => Promise<readonly RegisteredShield[]>, log: Logger) {
    this.#read = read;
    this.#log = log;
  }

  /** Resolves when it was read and told, or cannot be. Undefined: what was reported a moment ago holds. Never rejects. */
  read(tell: (shields: readonly RegisteredShield[]) => void): Promise<void> | undefined {
    if (this.#reading === undefined && performance.now() - this.#read_ms < FRESH_MS) {
      return undefined;
    }
    this.#reading ??= this.#read().then(tell).catch((error) => {
      this.#log.warn("the registry of Shields was not read", { error });
    }).finally(() => {
      this.#reading = undefined;
      this.#read_ms = performance.now();
    });
    return this.#reading;
  }
}
