/** A counting semaphore that is fair between owners: owners take turns. */

interface Waiting {
  readonly onTurn: () => void;
  readonly refuse: (error: Error) => void;
}

/** Each seat is released when it is disposed. */
export class Seats {
  #free: number;
  #waiting = 0;
  /** The waiting requests by owner; the next owner comes first. */
  readonly #owners = new Map<string, Waiting[]>();

  constructor(count: number) {
    this.#free = count;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Resolves with a seat. Rejects if the signal aborts before, or `makeRoom` has evicted the request. */
  async take(signal: AbortSignal, owner = ""): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#turn(owner, signal);
    return { [Symbol.dispose]: () => this.#give() };
  }

  /**
   * Evicts the last request of the owner with the most waiting ones, in favour of an owner with fewer. False if no
   * owner has more.
   */
  makeRoom(owner: string): boolean {
    const own = this.#owners.get(owner)?.length ?? 0;
    let most: [string, Waiting[]] | undefined;
    for (const one of this.#owners) {
      if (one[1].length > (most?.[1].length ?? own)) most = one;
    }
    const sent = most?.[1].at(-1);
    if (most === undefined || sent === undefined) return false;
    this.#leave(most[0], sent);
    sent.refuse(new Error("one sender has too many waiting requests"));
    return true;
  }

  #turn(owner: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => {
      this.#leave(owner, waiting);
      reject(signal.reason);
    };
    const end = () => signal.removeEventListener("abort", onAbort);
    const waiting: Waiting = {
      onTurn() {
        end();
        resolve();
      },
      refuse(error) {
        end();
        reject(error);
      },
    };
    const line = this.#owners.get(owner) ?? [];
    line.push(waiting);
    this.#owners.set(owner, line);
    this.#waiting++;
    signal.addEventListener("abort", onAbort, { once: true });
    return promise;
  }

  #leave(owner: string, waiting: Waiting): void {
    const line = this.#owners.get(owner);
    const at = line?.indexOf(waiting) ?? -1;
    if (line === undefined || at < 0) return;
    line.splice(at, 1);
    this.#waiting--;
    if (line.length === 0) this.#owners.delete(owner);
  }

  #give(): void {
    const [next] = this.#owners;
    const waiting = next?.[1][0];
    if (next === undefined || waiting === undefined) {
      this.#free++;
      return;
    }
    const [owner, line] = next;
    this.#leave(owner, waiting);
    // Its next request waits for those of all others.
    if (this.#owners.delete(owner)) this.#owners.set(owner, line);
    waiting.onTurn();
  }
}
