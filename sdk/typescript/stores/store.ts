/** A value over time for any framework, which works only while somebody receives it. */
import type { ArqonError } from "@arqon/proto";

/** What frameworks bind to: Svelte's contract, and with `get` that of `useSyncExternalStore`. */
export interface Store<View> {
  /** What is there before anything was heard of the bus: what a server renders. */
  readonly initial: View;
  /** The view as of now: the same object until it is another. */
  readonly get: () => View;
  /** Calls `hear` at once and with every other view, until the returned function is called. */
  readonly subscribe: (hear: (view: View) => void) => () => void;
}

/** How long a store goes on when nobody subscribes, in ms: pages are changed, and React mounts twice. */
const LINGER_MS = 1_000;

/** A store that is started and stopped by its subscribers. */
export abstract class Cell<View> implements Store<View> {
  readonly initial: View;
  #view: View;
  readonly #hearers = new Set<{ readonly hear: (view: View) => void }>();
  #stop: (() => void) | undefined;
  /** Answers that come after the end change nothing. */
  #is_on = false;
  #linger: ReturnType<typeof setTimeout> | undefined;

  constructor(initial: View) {
    this.initial = this.#view = initial;
  }

  readonly get = (): View => this.#view;

  readonly subscribe = (hear: (view: View) => void): () => void => {
    const hearer = { hear };
    this.#hearers.add(hearer);
    clearTimeout(this.#linger);
    this.#is_on = true;
    this.#stop ??= this.start();
    hear(this.#view);
    return () => {
      if (!this.#hearers.delete(hearer) || this.#hearers.size > 0) return;
      this.#linger = setTimeout(() => {
        this.#is_on = false;
        this.#stop?.();
        this.#stop = undefined;
        this.#view = this.initial;
      }, LINGER_MS);
    };
  };

  /** Shows the view with these members changed, if any of them is another. */
  protected show(changed: Partial<View>): void {
    const view = { ...this.#view, ...changed };
    const names = Object.keys(changed) as (keyof View)[];
    if (names.every((name) => view[name] === this.#view[name])) return;
    this.replace(view);
  }

  /** Shows another view, while the store works. */
  protected replace(view: View): void {
    if (!this.#is_on) return;
    this.#view = view;
    for (const { hear } of [...this.#hearers]) hear(view);
  }

  /** Begins to work; gives what ends it. */
  protected abstract start(): () => void;
}

/** What stores of rooms have in common. */
export interface RoomView {
  /** Whether what is shown is of the bus: false before its first answer. */
  readonly ready: boolean;
  /** The last refusal; undefined when the latest attempt was good. */
  readonly error: ArqonError | undefined;
}

const readiness = new WeakMap<Store<RoomView>, Promise<void>>();

/** Resolves once the store, held until then, is ready or has an error; undefined: it is now. */
export function whenReady(store: Store<RoomView>): Promise<void> | undefined {
  const isDone = ({ ready, error }: RoomView) => ready || error !== undefined;
  if (isDone(store.get())) return undefined;
  let promise = readiness.get(store);
  if (!promise) {
    const { promise: made, resolve } = Promise.withResolvers<void>();
    const leave = store.subscribe((view) => {
      if (isDone(view)) resolve();
    });
    promise = made.then(() => {
      readiness.delete(store);
      leave();
    });
    readiness.set(store, promise);
  }
  return promise;
}
