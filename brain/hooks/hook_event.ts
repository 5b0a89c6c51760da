/** The body of a hook's call for one message of the log. Pure; `room_feed.ts` makes the calls. */
import { encodeTextMessage, readRouted } from "@arqon/proto";
import type { AfterHook, HookEvent } from "../../shared/config/automation/hooks.ts";
import { type MembershipChange, readStored } from "../../shared/membership/entry.ts";
import { EVENTS_LOST, readTenantEvent } from "../../shared/hooks/tenant_event.ts";
import { roomEpoch } from "../../shared/rooms/epoch.ts";
import { EVENTS_ROOM, recordedRoomOf } from "../../shared/rooms/reserved.ts";
import type { LogMessage } from "../../shared/spine/contract/durable_log.ts";

/** One call to make. */
export interface HookEventCall {
  /** The same for every attempt and every hook. */
  readonly id: string;
  readonly type: HookEvent | "hook.lost";
  /** JSON. */
  readonly body: string;
}

const TYPES: Readonly<Record<MembershipChange["type"], HookEvent>> = {
  joined: "member.joined",
  left: "member.left",
  occupied: "room.occupied",
  vacated: "room.vacated",
};
const quote: (text: string) => string = JSON.stringify;

/** An id without dots, as the signature scheme requires. */
const idOf = (kind: string, stream: string, offset: number) =>
  `${kind}_${stream.replace(/[^A-Za-z0-9_-]/g, "_")}_${offset}`;

interface EventPlace {
  readonly tenant_id: string;
  /** The room in the log; for members, the journal's room. */
  readonly room_id: string;
  /** The life of the log. */
  readonly stream: string;
}

/** Whether a hook is called for events about that room; null: for events without a room. */
export function isAbout({ room }: Pick<AfterHook, "room">, room_id: string | null): boolean {
  if (room_id === null) return true;
  return room.endsWith("*") ? room_id.startsWith(room.slice(0, -1)) : room_id === room;
}

function bodyOf(
  type: string,
  time_ms: number,
  { tenant_id, room_id, stream }: EventPlace,
  offset: number,
  members: string,
  room: string | null = room_id === EVENTS_ROOM ? null : recordedRoomOf(room_id) ?? room_id,
): string {
  return `{"type":${quote(type)},"timestamp":${quote(new Date(time_ms).toISOString())},` +
    `"data":{"tenant":${quote(tenant_id)},"room":${JSON.stringify(room)},"offset":${offset},` +
    `"epoch":${quote(roomEpoch(stream, room_id))},${members}}}`;
}

/** A killed Brain may have stored the same creation or end twice: it is one event. */
function lifeIdOf(type: string, { epoch, created_ms }: Record<string, unknown>) {
  if (type !== "room.created" && type !== "room.ended") return undefined;
  return idOf(`evt_${type.slice("room.".length)}`, String(epoch), Number(created_ms));
}

/** The call for an event in the tenant's room of events. */
function tenantCallOf(
  hook: Pick<AfterHook, "events" | "room">,
  place: EventPlace,
  { payload, offset, time_ms }: LogMessage,
): HookEventCall | undefined {
  const event = readTenantEvent(payload);
  if (event === undefined) return undefined;
  const { type, data: { room, ...data } } = event;
  const id = idOf("evt", place.stream, offset);
  if (type === EVENTS_LOST) {
    const members = `"after":${offset - 1},"reason":"left-out","count":${Number(data["count"])}`;
    return { id, type: "hook.lost", body: bodyOf("hook.lost", time_ms, place, offset, members) };
  }
  if (!hook.events.includes(type) || !isAbout(hook, room)) return undefined;
  const members = `"event":${JSON.stringify(data)}`;
  const body = bodyOf(type, time_ms, place, offset, members, room);
  return { id: lifeIdOf(type, data) ?? id, type, body };
}

/** The call for a message; undefined if the hook has not selected it. */
export function eventCallOf(
  hook: Pick<AfterHook, "events" | "room">,
  place: EventPlace,
  message: LogMessage,
): HookEventCall | undefined {
  if (place.room_id === EVENTS_ROOM) return tenantCallOf(hook, place, message);
  const { events } = hook;
  const { payload, offset, time_ms } = message;
  const id = idOf("evt", place.stream, offset);
  if (recordedRoomOf(place.room_id) !== undefined) {
    const entry = readStored(payload);
    if (entry === undefined || entry.type === "present" || entry.type === "missed") {
      return undefined;
    }
    const type = TYPES[entry.type];
    if (!events.includes(type)) return undefined;
    const members = `"change":${JSON.stringify(entry.data)}`;
    return { id, type, body: bodyOf(type, time_ms, place, offset, members) };
  }
  const type = "room.message";
  if (!events.includes(type)) return undefined;
  const text = encodeTextMessage({ ...readRouted(payload), offset });
  return { id, type, body: bodyOf(type, time_ms, place, offset, `"message":${text}`) };
}

/** Why events are lost: they were removed before the hook was called, or the log was replaced. */
export type LostReason = "history-trimmed" | "erased" | "epoch-changed";

/** The call that reports that events between this offset and the next call may be lost. */
export function lostCallOf(
  place: EventPlace,
  after: number,
  reason: LostReason,
  now_ms: number,
): HookEventCall {
  const members = `"after":${after},"reason":${quote(reason)}`;
  const type = "hook.lost";
  const id = idOf("lost", `${place.stream}_${place.room_id}`, after);
  return { id, type, body: bodyOf(type, now_ms, place, after, members) };
}
