/**
 * A Brain that is killed at one of its writes, as a room sees it: its stores and logs answer nobody from then on. For
 * tests only; stores and logs are real.
 */
import { ArqonError } from "@arqon/proto";
import type { RoomParts } from "../room/loaded_room.ts";

const WRITES = new Set(["put", "update", "delete", "append", "appendAll", "trim"]);

/** Dies after this many writes are stored: the last one gets no answer. */
export class DyingBrain {
  is_dead = false;
  #left: number;

  constructor(writes: number) {
    this.#left = writes;
  }

  /** The same stores and logs for a Brain that dies. */
  parts(parts: RoomParts): RoomParts {
    return {
      ...parts,
      records: this.dying(parts.records),
      objects: this.dying(parts.objects),
      openLog: async (tenant_id) => this.dying(await parts.openLog(tenant_id)),
    };
  }

  dying<Store extends object>(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value = Reflect.get(target, name);
        if (typeof value !== "function") return value;
        const call = (...args: unknown[]) => Reflect.apply(value, target, args);
        // It asks nobody.
        if (name === "now") return call;
        return WRITES.has(String(name))
          ? (...args: unknown[]) => this.#write(() => call(...args))
          : (...args: unknown[]) => this.is_dead ? Promise.reject(died()) : call(...args);
      },
    });
  }

  async #write(write: () => unknown): Promise<unknown> {
    if (this.is_dead) throw died();
    this.#left--;
    if (this.#left > 0) return await write();
    this.is_dead = true;
    if (this.#left === 0) await write();
    throw died();
  }
}

const died = () => new ArqonError("spine-unavailable", "this Brain was killed");
