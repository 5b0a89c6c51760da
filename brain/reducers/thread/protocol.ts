/** What a Brain and the thread that runs its reducers say to each other. Plain data. */
import type { LogEntry, Outcome } from "../state/entry.ts";
import type { TimerAt } from "../state/room_state.ts";
import type { RoomLog } from "../guest/room_functions.ts";
import type { RunnableProgram } from "../log/program.ts";
import type { PageAsked, ShownPage, ShownValue } from "../visible/shown.ts";
import type { CompiledProgram } from "./compiling.ts";
import type { ChangeText, ShowOptions, ValuesPage } from "./shown_values.ts";

/** What came of one entry. */
export interface Applied
  extends Pick<Outcome, "kind" | "code" | "reason" | "answer" | "fault" | "detail"> {
  readonly offset: number;
  readonly time_ms: number;
  readonly repeats: number | undefined;
  readonly events: Outcome["events"];
  readonly logs: readonly RoomLog[];
  /** What it has changed of what is shown. */
  readonly changes: readonly ShownValue[];
}

/** A state, without its values. */
export interface RoomStanding {
  readonly offset: number;
  readonly time_ms: number;
  /** Hex. */
  readonly chain: string;
  /** Bytes of the state with what it remembers. */
  readonly bytes: number;
  /** The timer that is due first, and those behind it, as many as may run together. */
  readonly next: TimerAt | undefined;
  readonly later: readonly TimerAt[];
}

/** What is in a room. */
export interface ShownRoom extends ValuesPage {
  readonly keys: number;
  readonly state_bytes: number;
  readonly timers: number;
  /** What the entry changed. */
  readonly changes: readonly ChangeText[];
  /** What the entry came to. */
  readonly outcome: Outcome | undefined;
}

/** A program without what only its Brain needs. */
export type LoadedProgram = Omit<RunnableProgram, "schema" | "bytes">;

/** What the thread is asked. */
export type ThreadRequest =
  & { readonly id: number }
  & (
    /** A program that entries may be applied by from now on. */
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
      /** As `packEntries` has them. */
      readonly entries: Uint8Array;
      /** How keys begin whose changes are asked for. */
      readonly shown: readonly string[];
      /** Fuel after which the rest waits. */
      readonly turn_fuel: number;
      /** Of several timers the rest waits behind one that fails, or when another one is due first by now. */
      readonly may_stop: boolean;
    }
    | { readonly kind: "values"; readonly room: number; readonly asked: PageAsked }
    /** Which of some commands the room remembers, each by its sender and id. */
    | {
      readonly kind: "remembers";
      readonly room: number;
      readonly commands: readonly (readonly [user_id: string, id: string])[];
    }
    | { readonly kind: "snapshot"; readonly room: number }
    /** The room goes on as another one, perhaps without its timers. */
    | {
      readonly kind: "become";
      readonly room: number;
      readonly room_id: string;
      readonly with_timers: boolean;
    }
    /** The room goes on as if the entries up to that offset had changed nothing. */
    | { readonly kind: "skip"; readonly room: number; readonly offset: number }
    /** What is in the room; with an entry, what that changes, which is applied. */
    | {
      readonly kind: "show";
      readonly room: number;
      readonly program: string;
      readonly entry: LogEntry | undefined;
      readonly options: ShowOptions;
    }
    /** Nobody has called the room for a while: it may take time to be called again, and little memory. */
    | { readonly kind: "rest"; readonly room: number }
    | { readonly kind: "close"; readonly room: number }
  );

/**
 * What it answers, and the units that it took; of `apply` the outcomes of as many entries as fit into one turn, as `packApplied` has them, of
 * `snapshot` the bytes, of `values` a page.
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
    /** The room is closed then: what it was is not known any longer. */
    | { readonly failed: string }
  );
