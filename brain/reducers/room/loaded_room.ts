/** The state of a room with a reducer that its Brain has read, and what reading and writing one needs. */
import type { Env } from "../../../shared/env.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { KeyValue, ObjectStore } from "../../../shared/spine/contract/spine.ts";
import type { Breakers } from "../../../shared/rates/breaker.ts";
import type { EventMark } from "../log/batch.ts";
import type { Program, RunnableProgram } from "../log/program.ts";
import type { RoomPoint } from "../../../shared/records/reducer_points.ts";
import { connectionId } from "../../../shared/ids.ts";
import { NO_PROGRAMS } from "../../../shared/records/reducer_record.ts";
import type {
  ProgramName,
  RefusedProgram,
  RoomPrograms,
  RoomRecord,
} from "../../../shared/records/reducer_record.ts";
import type { ReducerMetrics } from "../metrics.ts";
import type { ProgramLog } from "../../../shared/logs/tenant_lines.ts";
import type { ReducerHost } from "../thread/host.ts";
import type { TenantFuel } from "../tenant_fuel.ts";
import type { Applied, RoomStanding } from "../thread/protocol.ts";
import { BoundedMap } from "../../../shared/containers/bounded_map.ts";
import type { CutOffRoom } from "../../../shared/cluster/cluster_room.ts";

/** How far changes are published. */
export interface PublishedValues {
  entry: number;
  /** Position of the newest message. */
  tail: number;
}

/** A room with a reducer, and where its log is. */
export interface ReducedPlace {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly log_room_id: string;
}

/** What the rooms of a Brain share. */
export interface RoomParts extends Pick<Env, "log" | "now" | "random"> {
  readonly records: KeyValue;
  readonly objects: ObjectStore;
  readonly host: ReducerHost;
  /** Rejects as `Spine.log`. */
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
  /** A program by its id. Rejects with `log-unavailable` if it is not stored. */
  readonly programById: (id: string) => Promise<RunnableProgram>;
  /** Ensures that a program in a room's record stays stored. Rejects with `brain-unavailable`. */
  readonly keepProgram: (program: RunnableProgram) => Promise<void>;
  readonly metrics: ReducerMetrics;
  readonly fuel: TenantFuel;
  /** The breakers of rooms whose reducers fail. */
  readonly breakers: Breakers;
  readonly cut_off: CutOffRooms;
  readonly lines: ProgramLog;
  /** Counts units for billing, once applied entries are stored. */
  readonly used: (at: ReducedPlace, units: number) => void;
}

/** A room that was read. */
export interface LoadedRoom {
  readonly at: ReducedPlace;
  readonly parts: RoomParts;
  readonly durable: DurableLog;
  readonly handle: number;
  standing: RoomStanding;
  /** The program in force; undefined: the room was never called. */
  program: ProgramName | undefined;
  /** The programs that its log may name. */
  programs: RoomPrograms;
  /** The program that is known to be stored and to stay stored. */
  kept: string | undefined;
  /** The wanted program, if it could not migrate the room. */
  refused: RefusedProgram | undefined;
  /** Undefined: nothing is stored for the room yet. */
  record: RoomRecord | undefined;
  /** The room's life, which its record has or will have. */
  readonly life: string;
  /** The snapshots in its record; undefined: not read yet. */
  points: readonly RoomPoint[] | undefined;
  revision: number;
  /** Position of the newest message of its log. */
  position: number;
  /** Position of the room's own newest message. */
  tail: number;
  /** The last published event, and the one that the log records as such. */
  published: EventMark;
  noted: EventMark;
  /** Messages and entries of its log since the snapshot. */
  messages_behind: number;
  entries_behind: number;
  /** Of those messages, the ones appended here: their number, bytes, and average size. */
  readonly appended: { messages: number; bytes: number; average: number };
  /** The last entry whose visible changes are published; undefined: none are, or it is unknown yet. */
  published_values: PublishedValues | undefined;
}

/** A room by its stored data; none of its log is applied yet. */
export function roomOf(
  stored:
    & Pick<LoadedRoom, "at" | "parts" | "durable" | "handle" | "standing" | "position">
    & Pick<LoadedRoom, "record" | "revision" | "tail" | "published" | "noted">,
): LoadedRoom {
  const { record, parts } = stored;
  return {
    ...stored,
    life: record?.life ?? connectionId(parts.random),
    points: undefined,
    program: record?.program,
    refused: record?.refused,
    programs: record?.programs ?? NO_PROGRAMS,
    kept: record?.program?.id,
    published_values: undefined,
    appended: { messages: 0, bytes: 0, average: 0 },
    messages_behind: 0,
    entries_behind: 0,
  };
}

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
