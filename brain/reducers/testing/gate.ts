/** Holds somebody up before one of its reads or writes, for tests that try every order of two. Stores are real ones. */

const OPERATIONS = new Set(
  ["get", "put", "update", "delete", "list", "append", "head", "read", "trim"],
);

/** Stops who passes at its operation of that number, from 0 on, until it is let on. */
export class Gate {
  /** Resolves when somebody stands there. */
  readonly reached: Promise<void>;
  readonly #opened: Promise<void>;
  readonly #reach: () => void;
  readonly open: () => void;
  #left: number;
  /** Whether there was such an operation. */
  is_reached = false;

  constructor(number: number) {
    const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    [this.reached, this.#reach] = [reached.promise, reached.resolve];
    [this.#opened, this.open] = [opened.promise, opened.resolve];
    this.#left = number;
  }

  /** The same store, for who passes here. */
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
