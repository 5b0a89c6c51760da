/** The state of a room with a reducer that its Brain has read, and what reading and writing one needs. Data. */
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
  RoomPrograms,
  RoomRecord,
} from "../../../shared/records/reducer_record.ts";
import type { ReducerMetrics } from "../metrics.ts";
import type { CutOffRooms } from "./cut_off.ts";
import type { ProgramLog } from "../../../shared/logs/tenant_lines.ts";
import type { ReducerHost } from "../thread/host.ts";
import type { TenantFuel } from "../tenant_fuel.ts";
import type { RoomStanding } from "../thread/protocol.ts";

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
  /** Its number in the thread. */
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
  /** The room's life, which its record has or will have; undefined: its record is of the old format. */
  readonly life: string | undefined;
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
