/** The messages between a Brain and the worker that runs its reducers. Plain data. */
import type { LogEntry, Outcome } from "../state/entry.ts";
import type { TimerAt } from "../state/room_state.ts";
import type { RoomLog } from "../guest/room_functions.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { PageAsked, ShownPage, ShownValue } from "../visible/shown.ts";
import type { CompiledProgram } from "./module_compiler.ts";
import type { ChangeText, ShowOptions, ValuesPage } from "./shown_values.ts";

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
  & { readonly id: number; readonly units: number }
  & (
    | {
      readonly applied: Uint8Array | undefined;
      readonly standing: RoomStanding | undefined;
      readonly snapshot: Uint8Array | undefined;
      readonly page: ShownPage | undefined;
      readonly shown?: ShownRoom;
      readonly remembered?: readonly boolean[];
    }
    /** The room is closed then: its state is lost. `is_damaged`: its snapshot is. */
    | { readonly failed: string; readonly is_damaged: boolean }
  );
