/**
 * The commands of rooms with reducers: calls, reads of visible values, the module, and an admin's query about the past.
 * The room's owner answers them.
 */
import { ArqonError } from "@arqon/proto";
import type { CutOffAnswer } from "../../shared/cluster/cluster_room.ts";
import { readCaller } from "../../shared/records/caller_headers.ts";
import { PastAsk } from "../../shared/records/reducer_past.ts";
import type { RoomAddress } from "../cluster_view.ts";
import {
  invalidCommand,
  optionalInteger,
  optionalText,
  requireUnconditional,
} from "../desk/command_data.ts";
import type { AskedCommand, OwnCommands } from "../desk/request.ts";
import type { WaitingCall } from "./room/next_entries.ts";
import { noModule, noReducer, nothingShown } from "./room/pages.ts";
import type { ValuesQuery, WaitingQuery } from "./room/pages.ts";

/** Longest name of a command for a reducer. */
const CALL_BYTES_MAX = 256;
/** Longest key of a value of a reducer. */
const VALUE_KEY_BYTES_MAX = 256;

/** Handles calls of reducers, and queries of their values; each is answered once. */
export interface ReducerCalls {
  call(at: RoomAddress, call: WaitingCall): void;
  values(at: RoomAddress, query: WaitingQuery): void;
  module(at: RoomAddress, from: number): Promise<string>;
  /** Answers an admin's query about a room's past. */
  past(at: RoomAddress, ask: PastAsk): Promise<string>;
  /** The tenant's rooms on this Brain that are cut off because their reducers keep failing. */
  cutOff(tenant_id: string): CutOffAnswer;
}

/** The answers of a Brain whose configuration has no reducer. */
export const NO_REDUCERS: ReducerCalls = {
  call: ({ room_id }, { answer }) => answer(noReducer(`${room_id} has no reducer`)),
  values: ({ room_id }, { answer }) => answer(nothingShown(room_id)),
  module: ({ room_id }) => Promise.reject(noModule(room_id)),
  past: ({ room_id }) => Promise.reject(noReducer(`${room_id} has no reducer`)),
  cutOff: () => ({ rooms: [], total: 0 }),
};

function readCall({ name: full, members, command, user_id }: AskedCommand) {
  requireUnconditional(full, command, "a call has");
  const name = optionalText(members, "command", CALL_BYTES_MAX);
  if (name === undefined) throw invalidCommand(`${full} needs {"command":…}`);
  if (!name.isWellFormed()) throw invalidCommand('"command" must be well-formed Unicode');
  const { command_id: id } = command;
  return { command: name, data: callData(members.get("data")), id, user_id };
}

function readValues({ name, members, command }: AskedCommand): ValuesQuery {
  requireUnconditional(name, command, "reading has");
  const textOf = (member: string) => {
    const text = optionalText(members, member, VALUE_KEY_BYTES_MAX) ?? "";
    if (text.isWellFormed()) return text;
    throw invalidCommand(`"${member}" must be well-formed Unicode`);
  };
  return { prefix: textOf("prefix"), after: textOf("after") };
}

/** An admin's query, composed by the Shield. */
function readPast({ name, members, command }: AskedCommand): PastAsk {
  requireUnconditional(name, command, "the past has");
  const ask = PastAsk.safeParse(JSON.parse(members.get("ask") ?? "null"));
  if (ask.success) return ask.data;
  throw invalidCommand(`"ask" is no question about a room's past`, ask.error);
}

/** Resolves with the answer of a queued call or query. Rejects with the refusal. */
function answerOf(ask: (answer: WaitingCall["answer"]) => void): Promise<string> {
  return new Promise((resolve, reject) =>
    ask((outcome) => outcome instanceof ArqonError ? reject(outcome) : resolve(outcome))
  );
}

/** Makes the commands. */
export function reducerCommands(calls: ReducerCalls): OwnCommands {
  return {
    "room.call": {
      members: ["command", "data"],
      read(command) {
        const call = readCall(command);
        return (at, { deadline_ms, headers }) =>
          answerOf((answer) =>
            calls.call(at, { ...call, ...readCaller(headers), deadline_ms, answer })
          );
      },
    },
    "room.values": {
      members: ["prefix", "after"],
      read(command) {
        const query = readValues(command);
        return (at, { deadline_ms }) =>
          answerOf((answer) => calls.values(at, { ...query, deadline_ms, answer }));
      },
    },
    "room.module": {
      members: ["from"],
      read({ name, members, command }) {
        requireUnconditional(name, command, "reading has");
        const from = optionalInteger(members, "from", 0, Number.MAX_SAFE_INTEGER) ?? 0;
        return (at) => calls.module(at, from);
      },
    },
    "room.past": {
      members: ["ask"],
      read(command) {
        const ask = readPast(command);
        return (at) => calls.past(at, ask);
      },
    },
  };
}

const encoder = new TextEncoder();
/** Compact JSON of base64 bytes; encoders may escape characters, as PHP's does with each slash. */
const Base64 = /^\{"base64":("[^"\\]*(?:\\.[^"\\]*)*")\}$/;

/**
 * The bytes of compact JSON: a text unchanged, bytes from base64, and any other value as JSON. Throws
 * `invalid-command`.
 */
export function callData(json: string | undefined): Uint8Array {
  if (json === undefined) return new Uint8Array();
  if (json.startsWith('"')) {
    const data: string = JSON.parse(json);
    if (!data.isWellFormed()) throw invalidCommand('"data" must be well-formed Unicode');
    return encoder.encode(data);
  }
  const base64 = Base64.exec(json)?.[1];
  if (base64 === undefined) return encoder.encode(json);
  try {
    return Uint8Array.fromBase64(JSON.parse(base64));
  } catch (cause) {
    throw invalidCommand('"data" has "base64" that is none', cause);
  }
}
