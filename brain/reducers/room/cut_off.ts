/**
 * The rooms of a Brain that are cut off because their programs keep failing, and their last faults, for operators. It
 * decides nothing; `shared/rates/breaker.ts` does.
 */
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { CutOffRoom } from "../../../shared/cluster/cluster_room.ts";
import type { Breakers } from "../../../shared/rates/breaker.ts";
import type { Program } from "../log/program.ts";
import type { Applied } from "../thread/protocol.ts";

/** Rooms whose last fault is remembered, as many as have breakers. */
const ROOMS_MAX = 4_096;
const DETAIL_UNITS_MAX = 512;

interface FailedRoom {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly key: string;
  readonly program: Pick<Program, "module">;
}

interface Seen {
  readonly of: FailedRoom;
  readonly fault: CutOffRoom["fault"];
  /** When it was cut off, monotonic ms. */
  readonly since_ms: number;
}

const nameOf = ({ tenant_id, room_id }: Pick<FailedRoom, "tenant_id" | "room_id">): string =>
  `${tenant_id} ${room_id}`;

/** The cut-off rooms of a Brain. */
export class CutOffRooms {
  readonly #breakers: Pick<Breakers, "openUntil">;
  /** By tenant and room; a room is not cut off for another program. */
  readonly #seen = new BoundedMap<string, Seen>(ROOMS_MAX);

  constructor(breakers: Pick<Breakers, "openUntil">) {
    this.#breakers = breakers;
  }

  /** A command or timer has failed. `is_opened`: whether it opened the breaker; `now_ms` is monotonic. */
  failed(of: FailedRoom, applied: Applied, is_opened: boolean, now_ms: number): void {
    const name = nameOf(of);
    const before = this.#seen.get(name);
    const { offset: entry, time_ms: at_ms, reason, detail } = applied;
    const fault = { entry, at_ms, reason, detail: detail.slice(0, DETAIL_UNITS_MAX) };
    const was_ms = before?.of.key === of.key ? before.since_ms : now_ms;
    const since_ms = is_opened ? now_ms : was_ms;
    this.#seen.renew(name, { of, fault, since_ms });
  }

  /** A program has succeeded: faults of another one no longer count. */
  succeeded(of: Omit<FailedRoom, "program">): void {
    const name = nameOf(of);
    const before = this.#seen.get(name);
    if (before !== undefined && before.of.key !== of.key) this.#seen.delete(name);
  }

  /** How many rooms of this Brain are cut off. */
  count(owns: (at: FailedRoom) => boolean): number {
    let count = 0;
    for (const { of } of this.#seen.values()) {
      if (this.#breakers.openUntil(of.tenant_id, of.key) !== undefined && owns(of)) count++;
    }
    return count;
  }

  /** Those of a tenant, the oldest failure first. Times as in `failed`. */
  *of(tenant_id: string): Generator<CutOffRoom> {
    for (const { of, fault, since_ms } of this.#seen.values()) {
      if (of.tenant_id !== tenant_id) continue;
      const until_ms = this.#breakers.openUntil(tenant_id, of.key);
      if (until_ms === undefined) continue;
      yield { room_id: of.room_id, module: of.program.module, since_ms, until_ms, fault };
    }
  }
}
