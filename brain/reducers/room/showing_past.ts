/**
 * The state of a room after an entry of its log, for admins: a page of its values, the entry, and what it changed.
 * Applied beside the room, which continues meanwhile.
 */
import { ArqonError } from "@arqon/proto";
import type { PastAsk } from "../../../shared/records/reducer_past.ts";
import { latinOf } from "../state/canonical.ts";
import type { LogEntry, Outcome } from "../state/entry.ts";
import { type ShownBytes, shownBytes } from "../thread/shown_values.ts";
import type { ReducedPlace, RoomParts } from "./loaded_room.ts";
import { newestEntry, openPast } from "./past.ts";

type ShowAsk = Extract<PastAsk, { action: "show" }>;

const EVENTS_MAX = 16;

/** The fields of an entry for the answer. */
function askedBy(entry: LogEntry): object {
  switch (entry.kind) {
    case "command": {
      const { command, data, user_id, role } = entry;
      return { timer: null, command, data: shownBytes(data), user_id, role };
    }
    case "timer":
      return { timer: entry.key, command: null, data: null, user_id: "", role: "timer" };
    case "migrate": {
      const data = shownBytes(new TextEncoder().encode(entry.from));
      return { timer: null, command: "migrate", data, user_id: "", role: "deploy" };
    }
    default:
      return entry satisfies never;
  }
}

function shownEntry(entry: LogEntry, outcome: Outcome): object {
  const { kind: verdict, code, reason, answer, events, repeats, detail } = outcome;
  const shown = (bytes: Uint8Array): ShownBytes | null =>
    bytes.length === 0 ? null : shownBytes(bytes.subarray(0, 1_024));
  return {
    offset: entry.offset,
    ...askedBy(entry),
    verdict,
    code,
    reason,
    detail,
    answer: shown(answer),
    repeats: repeats ?? null,
    events: events.slice(0, EVENTS_MAX).map(({ type, data, to }) => ({
      type,
      to,
      data: shown(data),
    })),
  };
}

/** Returns the page as JSON. Rejects with `invalid-command` for an entry that does not exist yet. */
export async function showPast(
  at: ReducedPlace,
  { offset: wanted = Infinity, time_ms = Infinity, prefix, after, limit }: ShowAsk,
  parts: RoomParts,
): Promise<object> {
  const { handle, next } = await openPast(at, { offset: wanted, time_ms }, parts);
  try {
    const program = next && await parts.programById(next.program);
    const options = {
      prefix: latinOf(new TextEncoder().encode(prefix)),
      after: latinOf(Uint8Array.fromBase64(after)),
      limit,
    };
    const { standing: after_it, shown } = await parts.host.show(
      handle,
      next && { entry: next.entry, program: program! },
      options,
    );
    const { offset, time_ms: at_ms } = after_it;
    if (wanted !== Infinity && time_ms === Infinity && offset !== wanted) {
      const detail = `${at.room_id} has no entry ${wanted} yet: its last is ${offset}`;
      throw new ArqonError("invalid-command", detail);
    }
    const { next: more, outcome, ...values } = shown;
    return {
      offset,
      at_ms,
      last: Math.max(offset, await newestEntry(at, parts)),
      entry: next && outcome ? shownEntry(next.entry, outcome) : null,
      ...values,
      next: more === undefined ? null : btoa(more),
    };
  } finally {
    parts.host.close(handle);
  }
}
