/**
 * A room that is a program: what its calls take and come to, what it shows and tells, as types; and the module that
 * it is, from the bus, page by page and held to its digest.
 */
import { ArqonError } from "@arqon/proto";
import type { Room } from "../room/room.ts";
import type { Message } from "../message/message.ts";
import type { CommandOptions } from "../request/room_request.ts";
import { hex } from "../wire/hex.ts";
import type { JsonInput } from "../wire/json.ts";
import type { WatchedValues, WatchOptions } from "./watched_values.ts";

/** A module as the bus gives it: metered, so that it ends. */
export interface ServedModule {
  /** Hex SHA-256 of the module that was deployed. */
  readonly module: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How much a call may do. */
  readonly fuel_units: number;
}

interface Page {
  readonly module: string;
  readonly sha256: string;
  readonly size_bytes: number;
  readonly fuel_units: number;
  readonly bytes: string;
}

/** Deploys in the middle of it that are borne. */
const ATTEMPTS = 8;

async function sha256Of(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

async function pageOf(room: Room, from: number, signal?: AbortSignal): Promise<Page> {
  const options = signal === undefined ? {} : { signal };
  const answer = await room.command("room.module", from === 0 ? {} : { from }, options);
  return answer.json() as Page;
}

/** Reads it; undefined: another one was deployed. */
async function readOne(room: Room, signal?: AbortSignal): Promise<ServedModule | undefined> {
  const first = await pageOf(room, 0, signal);
  const { module, sha256, size_bytes, fuel_units } = first;
  const bytes = new Uint8Array(size_bytes);
  let page = first;
  for (let at = 0;;) {
    const part = atob(page.bytes);
    if (page.sha256 !== sha256 || part.length === 0 || at + part.length > size_bytes) {
      return undefined;
    }
    for (let index = 0; index < part.length; index++) bytes[at + index] = part.charCodeAt(index);
    at += part.length;
    if (at === size_bytes) break;
    page = await pageOf(room, at, signal);
  }
  return await sha256Of(bytes) === sha256 ? { module, bytes, fuel_units } : undefined;
}

/** Reads the module of a room. Rejects with `invalid-command` where its class gives none, and as any command. */
export async function servedModule(room: Room, signal?: AbortSignal): Promise<ServedModule> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await readOne(room, signal);
    if (found !== undefined) return found;
  }
  throw new ArqonError("answer-timeout", `room.module of ${room.id}`);
}

/** What commands take and answer, by their names. */
export type Calls = Readonly<Record<string, readonly [data: unknown, answer: unknown]>>;

/** What a room is, as `arq reducer types` writes it down. */
export interface RoomTypes {
  readonly commands: Calls;
  /** The data of its messages, by their types. */
  readonly events: Readonly<Record<string, unknown>>;
  /** What it shows, by keys; a text is itself, anything else is JSON. */
  readonly values: Readonly<Record<string, unknown>>;
}

/** The commands of either. */
export type CallsOf<Known extends Calls | RoomTypes> = Known extends RoomTypes ? Known["commands"]
  : Known extends Calls ? Known
  : never;

/** The values of either: of commands alone nothing is known. */
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

/** What a call may be given besides. */
export interface CallOptions
  extends Pick<CommandOptions, "headers" | "trace_id" | "traceparent" | "timeout_ms" | "signal"> {
  /**
   * The sender's own id of the call: a repetition gets the same answer and is not applied again, as long as the room
   * remembers it. Absent: a new one.
   */
  readonly call_id?: string;
}

/** What a call came to. */
export interface Called<Answer> {
  /** The number of its entry in the room's log. */
  readonly entry: number;
  /** The entry that it repeats; undefined: it was applied now. */
  readonly repeats?: number;
  /** Whether it has changed a value that the room shows; undefined: it has not, or repeats one that may have. */
  readonly visible?: true;
  /** What the reducer answered: null when nothing, `{ base64 }` when it is no text. */
  readonly answer: Answer;
}

/** What is behind the name of a command: its data, which may be left out where there need be none. */
export type Given<Data> = undefined extends Data ? [data?: Data, options?: CallOptions]
  : [data: Data, options?: CallOptions];

/** A room that is a program. */
export interface ReducedRoom<Known extends Calls | RoomTypes> {
  readonly id: string;
  /**
   * Has the room do something; resolves once it is in the room's log and is applied. Data that is a text comes
   * as it is, any other as JSON, bytes as bytes. Repeated over reconnects, applied once. Rejects with
   * `call-rejected` and the reducer's code and reason, or `reducer-…` when it failed, `invalid-command` where the room has no reducer, or as any command.
   */
  call<Name extends keyof CallsOf<Known> & string>(
    command: Name,
    ...given: Given<CallsOf<Known>[Name][0]>
  ): Promise<Called<CallsOf<Known>[Name][1]>>;
  readonly state: {
    /**
     * Watches the values that the room's class shows below a prefix, all of them without one: they are read, then
     * their changes are heard, also over reconnects. It is over with `invalid-command` where the room shows none.
     */
    watch(prefix?: string, options?: WatchOptions): WatchedValues<ValuesOf<Known>>;
  };
  /** The room's module, metered. Rejects with `invalid-command` unless its class shows it. */
  module(signal?: AbortSignal): Promise<ServedModule>;
  /**
   * What a message of the room says: its type and data, from JSON where it is such, else a text, else bytes. Undefined
   * for a message of the system. Nothing checks that the room tells what its types say.
   */
  event(message: Message): EventsOf<Known> | undefined;
}

/** Calls a room. */
export async function callRoom<Answer>(
  room: Room,
  command: string,
  data: unknown,
  options: CallOptions = {},
): Promise<Called<Answer>> {
  const { call_id = crypto.randomUUID(), ...others } = options;
  const given = data instanceof Uint8Array ? { base64: base64Of(data) } : data;
  const asked = given === undefined ? { command } : { command, data: given as JsonInput };
  const result = await room.command("room.call", asked, { ...others, command_id: call_id });
  return result.json() as Called<Answer>;
}

function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
