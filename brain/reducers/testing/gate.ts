/** Pauses a caller before one of its reads or writes, for tests that try every order of two. Stores are real. */

const OPERATIONS = new Set(
  ["get", "put", "update", "delete", "list", "append", "head", "read", "trim"],
);

/** Pauses the caller at its operation with that number, from 0, until it is released. */
export class Gate {
  /** Resolves when the caller is paused. */
  readonly reached: Promise<void>;
  readonly #opened: Promise<void>;
  readonly #reach: () => void;
  readonly open: () => void;
  #left: number;
  /** Whether there was such an operation. */
  is_reached = false;

  constructor(number: number) {
    const reached = Promise.withResolvers<void>();
    const opened = Promise.withResolvers<void>();
    [this.reached, this.#reach] = [reached.promise, reached.resolve];
    [this.#opened, this.open] = [opened.promise, opened.resolve];
    this.#left = number;
  }

  /** The same store, with the gate before each operation. */
  through<Store extends object>(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        const call = (...args: unknown[]) => Reflect.apply(value, target, args);
        if (!OPERATIONS.has(String(name))) return call;
        return async (...args: unknown[]) => {
          await this.#pass();
          return await call(...args);
        };
      },
    });
  }

  async #pass(): Promise<void> {
    if (this.#left-- !== 0) return;
    this.is_reached = true;
    this.#reach();
    await this.#opened;
  }
}
