/**
 * Calls of rooms that are programs: `@arqon/sdk/reducers`. A program that does not import it does not load it.
 * What a reducer is, and what a call comes to, is in docs/rooms-as-programs.md.
 *
 * ```ts
 * import { connect } from "@arqon/sdk";
 * import { reduced } from "@arqon/sdk/reducers";
 *
 * await using bus = await connect({ url: "localhost:4000", token: "…" });
 * const auction = reduced<{ open: [number, null]; bid: [number, number] }>(bus.room("auction-1"));
 * const { answer } = await auction.call("bid", 100);
 * console.log(answer);
 * ```
 */
import type { CommandOptions } from "./request/room_request.ts";
import type { Room } from "./room/room.ts";
import type { JsonInput } from "./wire/json.ts";

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
  /** What the reducer answered: null when nothing, `{ base64 }` when it is no text. */
  readonly answer: Answer;
}

/** A room that is a program. */
export interface ReducedRoom<Known extends Calls> {
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

/** The same room, whose reducer knows these commands. */
export function reduced<Known extends Calls = Record<string, [JsonInput | Uint8Array, unknown]>>(
  room: Room,
): ReducedRoom<Known> {
  return {
    async call(command, data, options = {}) {
      const { call_id = crypto.randomUUID(), ...others } = options;
      const given = data instanceof Uint8Array ? { base64: base64Of(data) } : data;
      const asked = given === undefined ? { command } : { command, data: given as JsonInput };
      const result = await room.command("room.call", asked, { ...others, command_id: call_id });
      return result.json();
    },
  };
}

function base64Of(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
