/** An observable value for any framework; it works only while it has a subscriber. */
import type { ArqonError } from "@arqon/proto";

/** The interface for frameworks: Svelte's store contract, and with `get` that of `useSyncExternalStore`. */
export interface Store<View> {
  /** The view before the first answer of the bus: for server rendering. */
  readonly initial: View;
  /** The present view: the same object until it changes. */
  readonly get: () => View;
  /** Calls `hear` at once and with every new view, until the returned function is called. */
  readonly subscribe: (hear: (view: View) => void) => () => void;
}

/** How long a store continues without a subscriber, in ms: pages change, and React mounts twice. */
const LINGER_MS = 1_000;

/** A store that runs while it has subscribers. */
export abstract class Cell<View> implements Store<View> {
  readonly initial: View;
  #view: View;
  readonly #hearers = new Set<{ readonly hear: (view: View) => void }>();
  #stop: (() => void) | undefined;
  /** False: late answers change nothing. */
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

  /** Updates these members of the view, if any of them differs. */
  protected show(changed: Partial<View>): void {
    const view = this.#view;
    for (const name in changed) {
      if (changed[name] !== view[name]) return this.replace({ ...view, ...changed });
    }
  }

  /** Replaces the view, while the store runs. */
  protected replace(view: View): void {
    if (!this.#is_on) return;
    this.#view = view;
    for (const { hear } of [...this.#hearers]) hear(view);
  }

  /** Starts the store; returns the function that stops it. */
  protected abstract start(): () => void;
}

/** The common part of the views of rooms. */
export interface RoomView {
  /** Whether the view is from the bus: false before its first answer. */
  readonly ready: boolean;
  /** The last refusal; undefined if the latest attempt succeeded. */
  readonly error: ArqonError | undefined;
}

const readiness = new WeakMap<Store<RoomView>, Promise<void>>();

/** Subscribes to the store until it is ready or has an error, then resolves; undefined: it already is or has. */
export function whenReady(store: Store<RoomView>): Promise<void> | undefined {
  const isDone = ({ ready, error }: RoomView) => ready || !!error;
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
