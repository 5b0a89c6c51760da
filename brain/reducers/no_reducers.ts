/** What rooms with reducers are for the rest of a Brain, and what is said where there are none. */
import { ArqonError } from "@arqon/proto";
import type { CutOffAnswer } from "../../shared/cluster/cluster_room.ts";
import type { PastAsk } from "../../shared/records/reducer_past.ts";
import { noModule } from "./served_modules.ts";
import type { WaitingCall } from "./room/call.ts";
import { nothingShown, type WaitingQuery } from "./room/pages.ts";

/** A room. */
export interface Place {
  readonly tenant_id: string;
  readonly room_id: string;
}

/** The rooms with reducers of a running Brain. */
export interface ReducerService {
  /** Takes a call; it is answered in any case. */
  call(at: Place, call: WaitingCall): void;
  /** Takes a question about visible values; it is answered in any case. */
  values(at: Place, query: WaitingQuery): void;
  /** A page of the room's module, from a byte on; resolves with JSON, rejects with the refusal. */
  module(at: Place, from: number): Promise<string>;
  /** Does what an admin asks about the past of a room; resolves with JSON, rejects with the refusal. */
  past(at: Place, ask: PastAsk): Promise<string>;
  /** The rooms of a tenant here that are cut off because their reducers keep failing. */
  cutOff(tenant_id: string): CutOffAnswer;
  /** Stores every room, then does nothing more. Idempotent. */
  drain(): Promise<void>;
}

/** The refusal of what only a reducer can answer. */
export const noReducer = (detail: string) =>
  new ArqonError("invalid-command", `room.call: ${detail}`);

/** Without a reducer in the configuration nothing is opened. */
export const NONE: ReducerService = {
  call: ({ room_id }, { answer }) => answer(noReducer(`${room_id} has no reducer`)),
  values: ({ room_id }, { answer }) => answer(nothingShown(room_id)),
  module: ({ room_id }) => Promise.reject(noModule(room_id)),
  past: ({ room_id }) => Promise.reject(noReducer(`${room_id} has no reducer`)),
  cutOff: () => ({ rooms: [], total: 0 }),
  drain: () => Promise.resolve(),
};
