/**
 * A room that is a program: the types of its calls, outcomes, values and events; and its module, read from the bus page
 * by page and checked against its digest.
 */
import { ArqonError } from "@arqon/proto";
import type { Room } from "../room/room.ts";
import type { Message } from "../message/message.ts";
import { ask, type CommandOptions, hex, type JsonInput } from "../request/room_request.ts";
import type { WatchedValues, WatchOptions } from "./watched_values.ts";

/** A module from the bus: metered, so that it terminates. */
export interface ServedModule {
  /** Hex SHA-256 of the module that was deployed. */
  readonly module: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The fuel of a call. */
  readonly fuel_units: number;
}

interface Page {
  readonly module: string;
  readonly sha256: string;
  readonly size_bytes: number;
  readonly fuel_units: number;
  readonly bytes: string;
}

/** Retries when a deploy interrupts the read. */
const ATTEMPTS = 8;

/** Reads the module; undefined: another one was deployed meanwhile. */
async function readOne(room: Room, options: CommandOptions): Promise<ServedModule | undefined> {
  const pageFrom = (data: { from?: number }) => ask<Page>(room, "room.module", data, options);
  const first = await pageFrom({});
  const { module, sha256, size_bytes, fuel_units } = first;
  let content = "";
  for (let page = first;; page = await pageFrom({ from: content.length })) {
    const part = atob(page.bytes);
    content += part;
    if (page.sha256 !== sha256 || part === "" || content.length > size_bytes) return undefined;
    if (content.length === size_bytes) break;
  }
  const bytes = Uint8Array.from(content, (unit) => unit.charCodeAt(0));
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return hex(new Uint8Array(digest)) === sha256 ? { module, bytes, fuel_units } : undefined;
}

/** Reads the module of a room. Rejects with `invalid-command` if its class does not publish it, and as any command. */
export async function servedModule(room: Room, signal?: AbortSignal): Promise<ServedModule> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await readOne(room, signal ? { signal } : {});
    if (found !== undefined) return found;
  }
  throw new ArqonError("answer-timeout", `room.module of ${room.id}`);
}

/** The data and answers of commands, by name. */
export type Calls = Readonly<Record<string, readonly [data: unknown, answer: unknown]>>;

/** The types of a room, as `arq reducer types` generates them. */
export interface RoomTypes {
  readonly commands: Calls;
  /** The data of its messages, by type. */
  readonly events: Readonly<Record<string, unknown>>;
  /** Its visible values, by key; a text is itself, anything else is JSON. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The commands of either. */
export type CallsOf<Known extends Calls | RoomTypes> = Known extends RoomTypes ? Known["commands"]
  : Known extends Calls ? Known
  : never;

/** The values of either; unknown for commands alone. */
export type ValuesOf<Known extends Calls | RoomTypes> = Known extends RoomTypes ? Known["values"]
  : Readonly<Record<string, unknown>>;

/** The events of either, each with its type. */
export type EventsOf<Known extends Calls | RoomTypes> = Known extends RoomTypes ? {
    readonly [Type in keyof Known["events"] & string]: {
      readonly type: Type;
      readonly data: Known["events"][Type];
    };
  }[keyof Known["events"] & string]
  : { readonly type: string; readonly data: unknown };

/** Further options of a call. */
export interface CallOptions
  extends Pick<CommandOptions, "headers" | "trace_id" | "traceparent" | "timeout_ms" | "signal"> {
  /**
   * Idempotency key of the call: a repeated call gets the same answer and is not applied again, as long as the room
   * remembers it. Absent: a new one.
   */
  readonly call_id?: string;
}

/** The outcome of a call. */
export interface Called<Answer> {
  /** The offset of its entry in the room's log. */
  readonly entry: number;
  /** The entry that it repeats; undefined: it is not a repetition. */
  readonly repeats?: number;
  /** Whether it changed a visible value; undefined: it did not, or it repeats a call that may have. */
  readonly visible?: true;
  /** The reducer's answer: null for none, `{ base64 }` if it is not text. */
  readonly answer: Answer;
}

/** The arguments after a command's name: its data, optional if the command needs none. */
export type Given<Data> = undefined extends Data ? [data?: Data, options?: CallOptions]
  : [data: Data, options?: CallOptions];

/** A room that is a program. */
export interface ReducedRoom<Known extends Calls | RoomTypes> {
  readonly id: string;
  /**
   * Calls a command of the room; resolves once the call is in the room's log and applied. A text is sent as it is,
   * bytes as bytes, any other data as JSON. The SDK repeats the call over reconnects; it is applied once. Rejects with
   * `call-rejected` and the reducer's code and reason, with `reducer-…` if it failed, with `invalid-command` if the
   * room has no reducer, or as any command.
   */
  call<Name extends keyof CallsOf<Known> & string>(
    command: Name,
    ...given: Given<CallsOf<Known>[Name][0]>
  ): Promise<Called<CallsOf<Known>[Name][1]>>;
  readonly state: {
    /**
     * Watches the visible values below a prefix, by default all: reads them, then receives their changes, also over
     * reconnects. Ends with `invalid-command` if the room has none.
     */
    watch(prefix?: string, options?: WatchOptions): WatchedValues<ValuesOf<Known>>;
  };
  /** The room's module, metered. Rejects with `invalid-command` unless its class publishes it. */
  module(signal?: AbortSignal): Promise<ServedModule>;
  /**
   * The event in a message of the room: its type and data, parsed from JSON if it is JSON, otherwise a text or bytes.
   * Undefined for a message of the system. The types are not checked at run time.
   */
  event(message: Message): EventsOf<Known> | undefined;
}

/** Calls a room. */
export function callRoom<Answer>(
  room: Room,
  command: string,
  data: unknown,
  options: CallOptions = {},
): Promise<Called<Answer>> {
  const { call_id = crypto.randomUUID(), ...others } = options;
  const given = data instanceof Uint8Array ? { base64: base64Of(data) } : data;
  const call = { command, data: given as JsonInput | undefined };
  return ask(room, "room.call", call, { ...others, command_id: call_id });
}

function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
