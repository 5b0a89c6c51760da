/** What a Brain knows of a room with a reducer that it has read, and what reading and writing one needs. Data. */
import type { Env } from "../../../shared/env.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { KeyValue, ObjectStore } from "../../../shared/spine/contract/spine.ts";
import type { Breakers } from "../../../shared/rates/breaker.ts";
import type { EventMark } from "../log/batch.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { RoomPoint } from "../../../shared/records/reducer_points.ts";
import type {
  ProgramName,
  RefusedProgram,
  RoomRecord,
} from "../../../shared/records/reducer_record.ts";
import type { RoomPrograms } from "../../../shared/records/reducer_programs.ts";
import type { ReducerMetrics } from "../metrics.ts";
import type { CutOffRooms } from "./cut_off.ts";
import type { ReducerHost } from "../thread/host.ts";
import type { TenantFuel } from "../tenant_fuel.ts";
import type { RoomStanding } from "../thread/protocol.ts";

/** How far changes are reported. */
export interface Told {
  entry: number;
  /** Position of the newest message. */
  tail: number;
}

/** Which room. */
export interface ReducedPlace {
  readonly tenant_id: string;
  readonly room_id: string;
  /** The room with its log. */
  readonly log_room_id: string;
}

/** What the rooms of a Brain share. */
export interface RoomParts extends Pick<Env, "log" | "now" | "random"> {
  readonly records: KeyValue;
  readonly objects: ObjectStore;
  readonly host: ReducerHost;
  /** Rejects as `Spine.log`. */
  readonly openLog: (tenant_id: string) => Promise<DurableLog>;
  /** A program by its id. Rejects with `log-unavailable` when it is not stored. */
  readonly programById: (id: string) => Promise<RunnableProgram>;
  /** Sees to it that a program stays stored that a room's record names. Rejects with `brain-unavailable`. */
  readonly keepProgram: (program: RunnableProgram) => Promise<void>;
  readonly metrics: ReducerMetrics;
  readonly fuel: TenantFuel;
  /** Of rooms whose reducers fail. */
  readonly breakers: Breakers;
  readonly cut_off: CutOffRooms;
  /** Counts units for the bill: of what was applied and is stored. */
  readonly used: (at: ReducedPlace, units: number) => void;
}

/** A room that was read. */
export interface LoadedRoom {
  readonly durable: DurableLog;
  /** Its number in the thread. */
  readonly handle: number;
  standing: RoomStanding;
  /** The program in force; undefined: nobody has called it yet. */
  program: ProgramName | undefined;
  /** Which programs its log may name. */
  programs: RoomPrograms;
  /** The program that is known to be stored and to stay so. */
  kept: string | undefined;
  /** What was to be in force and could not migrate the room. */
  refused: RefusedProgram | undefined;
  /** Undefined: nothing is stored of it yet. */
  record: RoomRecord | undefined;
  /** What its record reports about its snapshots; undefined: that was not read yet. */
  points: readonly RoomPoint[] | undefined;
  /** The record's revision. */
  revision: number;
  /** Position of the newest message of its log. */
  position: number;
  /** Position of the room's own newest message. */
  tail: number;
  /** The last event that was published, and what the log says of that. */
  published: EventMark;
  noted: EventMark;
  /** Messages of its log, and entries, behind the snapshot. */
  messages_behind: number;
  entries_behind: number;
  /** Bytes of those messages that were appended here, how many those are, and what one takes on average. */
  readonly appended: { messages: number; bytes: number; average: number };
  /** How far changes of visible values are reported; undefined: none are, or it is not known yet. */
  told: Told | undefined;
}
