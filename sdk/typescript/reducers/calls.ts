/** Calls of a room that is a program: what they take, and what they come to. */
import type { CommandOptions } from "../request/room_request.ts";
import type { Room } from "../room/room.ts";
import type { JsonInput } from "../wire/json.ts";

/** What commands take and answer, by their names. */
export type Calls = Readonly<Record<string, readonly [data: unknown, answer: unknown]>>;

/** What a call may be told besides. */
export interface CallOptions
  extends Pick<CommandOptions, "headers" | "trace_id" | "traceparent" | "timeout_ms" | "signal"> {
  /**
   * The sender's own id of the call: a repetition is told the same and not applied again, as long as the room
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

/** A room that takes calls. */
export interface ReducedCalls<Known extends Calls> {
  readonly id: string;
  /**
   * Has the room do something; resolves once it stands in the room's log and is applied. Data that is a text comes
   * as it is, any other as JSON, bytes as bytes. Repeated over reconnects, applied once. Rejects with
   * `call-rejected` and the reducer's code and reason, or `reducer-…` when it failed, `invalid-command` where the room has no reducer, or as any command.
   */
  call<Name extends keyof Known & string>(
    command: Name,
    data?: Known[Name][0],
    options?: CallOptions,
  ): Promise<Called<Known[Name][1]>>;
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
