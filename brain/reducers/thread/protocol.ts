/** The messages between a Brain and the worker that runs its reducers. Plain data. */
import type { MeteredModule } from "../../../wasm/metering/meter.ts";
import type {
  Answered,
  LogEntry,
  Outcome,
  ReducerFault,
  RoomEvent,
  TimerAt,
} from "../state/room_state.ts";
import type { RoomLog } from "../guest/reducer_guest.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { PageAsked, ShownPage, ShownValue } from "../visible/shown.ts";
import type { ChangeText, ShowOptions, ValuesPage } from "./shown_values.ts";
import { CanonicalReader, CanonicalWriter } from "../state/canonical.ts";
import { readEntries, writeEntries } from "../log/batch.ts";

/** The outcome of one entry. */
export interface Applied
  extends Pick<Outcome, "kind" | "code" | "reason" | "answer" | "fault" | "detail"> {
  readonly offset: number;
  readonly time_ms: number;
  readonly repeats: number | undefined;
  readonly events: Outcome["events"];
  readonly logs: readonly RoomLog[];
  readonly changes: readonly ShownValue[];
}

/** Facts about a state, without its values. */
export interface RoomStanding {
  readonly offset: number;
  readonly time_ms: number;
  /** Hex. */
  readonly chain: string;
  /** Bytes of the state including remembered answers. */
  readonly bytes: number;
  /** The timer that is due first, and those that may run together with it. */
  readonly next: TimerAt | undefined;
  readonly later: readonly TimerAt[];
}

/** The content of a room. */
export interface ShownRoom extends ValuesPage {
  readonly keys: number;
  readonly state_bytes: number;
  readonly timers: number;
  readonly changes: readonly ChangeText[];
  readonly outcome: Outcome | undefined;
}

/** A metered and compiled module. */
export interface CompiledProgram {
  readonly compiled: WebAssembly.Module;
  readonly metered: Pick<MeteredModule, "cost" | "renewal">;
}

/** The parts of a program that the worker needs. */
export type LoadedProgram = Omit<RunnableProgram, "schema" | "bytes">;

/** A request to the worker. */
export type ThreadRequest =
  & { readonly id: number }
  & (
    | ({ readonly kind: "program"; readonly program: LoadedProgram } & CompiledProgram)
    | { readonly kind: "forget"; readonly program: string }
    | {
      readonly kind: "open";
      readonly room: number;
      readonly room_id: string;
      readonly snapshot: Uint8Array | undefined;
    }
    | {
      readonly kind: "apply";
      readonly room: number;
      readonly program: string;
      /** As packed by `packEntries`. */
      readonly entries: Uint8Array;
      /** Prefixes of the keys whose changes are returned. */
      readonly shown: readonly string[];
      /** Fuel after which the rest waits. */
      readonly turn_fuel: number;
      /** Of several timers, the rest waits after a failure, or if another timer is due first. */
      readonly may_stop: boolean;
    }
    | { readonly kind: "values"; readonly room: number; readonly asked: PageAsked }
    /** Which of some commands the room remembers, each by sender and id. */
    | {
      readonly kind: "remembers";
      readonly room: number;
      readonly commands: readonly (readonly [user_id: string, id: string])[];
    }
    | { readonly kind: "snapshot"; readonly room: number }
    /** The room continues as another one, perhaps without its timers. */
    | {
      readonly kind: "become";
      readonly room: number;
      readonly room_id: string;
      readonly with_timers: boolean;
    }
    /** The room continues as if the entries up to that offset had changed nothing. */
    | { readonly kind: "skip"; readonly room: number; readonly offset: number }
    /** The content of the room; an entry is applied, and its changes returned. */
    | {
      readonly kind: "show";
      readonly room: number;
      readonly program: string;
      readonly entry: LogEntry | undefined;
      readonly options: ShowOptions;
    }
    /** The room is idle: it may take little memory, and time at the next call. */
    | { readonly kind: "rest"; readonly room: number }
    | { readonly kind: "close"; readonly room: number }
  );

/**
 * The answer, and the units used. `apply`: the outcomes of the entries that fit one slice, as `packApplied` packs them;
 * `snapshot`: bytes; `values`: a page.
 */
export type ThreadAnswer =
  & {
    readonly id: number;
    readonly units: number;
    /** Units beside: of instances that were let go, or are a program's first. No ledger has them. */
    readonly made_units: number;
  }
  & (
    | {
      readonly applied?: Uint8Array;
      readonly standing?: RoomStanding;
      readonly snapshot?: Uint8Array;
      /** The same, too large to be compressed in the worker. */
      readonly unpacked?: Uint8Array;
      readonly page?: ShownPage;
      readonly shown?: ShownRoom;
      readonly remembered?: readonly boolean[];
    }
    /** The room is closed then: its state is lost. `is_damaged`: its snapshot is. */
    | { readonly failed: string; readonly is_damaged: boolean }
  );

// Entries and outcomes go as bytes: copying one array takes a fraction of the time of as many objects. Nothing of it
// is stored.

const NOTHING = new Uint8Array();

/** Packed bytes are copied out at once. */
const packer = new CanonicalWriter();
const KINDS: readonly Answered["kind"][] = ["applied", "rejected", "fault"];
const FAULTS: readonly (ReducerFault | undefined)[] = [
  ...[undefined, "fuel", "trap", "memory", "abi", "bounds"] as const,
];

/** Packs entries with consecutive offsets. */
export function packEntries(entries: readonly LogEntry[]): Uint8Array {
  const writer = packer.clear().i64((entries[0]?.offset ?? 1) - 1);
  return writeEntries(writer, entries).done().slice();
}

/** Unpacks what `packEntries` packed. */
export function unpackEntries(bytes: Uint8Array): LogEntry[] {
  const reader = new CanonicalReader(bytes);
  return readEntries(reader, reader.i64());
}

function packOne(writer: CanonicalWriter, one: Applied): void {
  writer.u32(KINDS.indexOf(one.kind)).u32(one.code).text(one.reason).bytes(one.answer);
  writer.u32(FAULTS.indexOf(one.fault)).text(one.detail).i64(one.offset).i64(one.time_ms);
  writer.i64(one.repeats ?? 0).u32(one.events.length);
  for (const { type, data, to } of one.events) writer.text(type).bytes(data).text(to);
  writer.u32(one.logs.length);
  for (const { level, message } of one.logs) writer.u32(level).text(message);
  writer.u32(one.changes.length);
  for (const [key, value] of one.changes) {
    writer.text(key).u32(value === null ? 0 : 1).bytes(value ?? NOTHING);
  }
}

/** Packs outcomes. */
export function packApplied(applied: readonly Applied[]): Uint8Array {
  const writer = packer.clear().u32(applied.length);
  for (const one of applied) packOne(writer, one);
  return writer.done().slice();
}

function listOf<One>(reader: CanonicalReader, read: () => One): One[] {
  return Array.from({ length: reader.u32() }, read);
}

function unpackOne(reader: CanonicalReader): Applied {
  const head = {
    kind: KINDS[reader.u32()]!,
    code: reader.u32(),
    reason: reader.text(),
    answer: reader.bytes(),
    fault: FAULTS[reader.u32()],
    detail: reader.text(),
    offset: reader.i64(),
    time_ms: reader.i64(),
  };
  const repeats = reader.i64() || undefined;
  const events = listOf(reader, (): RoomEvent => {
    return { type: reader.text(), data: reader.bytes(), to: reader.text() };
  });
  const logs = listOf(reader, (): RoomLog => ({ level: reader.u32(), message: reader.text() }));
  const changes = listOf(reader, (): ShownValue => {
    const key = reader.text();
    const is_there = reader.u32() === 1;
    const value = reader.bytes();
    return [key, is_there ? value : null];
  });
  return { ...head, repeats, events, logs, changes };
}

/** Unpacks what `packApplied` packed. */
export function unpackApplied(bytes: Uint8Array): Applied[] {
  const reader = new CanonicalReader(bytes);
  return listOf(reader, () => unpackOne(reader));
}
