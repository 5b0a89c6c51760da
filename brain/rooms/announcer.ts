/**
 * What rooms tell the world: their events to the room, their births and ends to the tenant, kicks to
 * the Shields. Only envelopes and subjects; nobody waits for an answer.
 */
import type { EnvelopeInput } from "@arqon/proto";
import { traceId } from "../../shared/ids.ts";
import type { Random } from "../../shared/ids.ts";
import type { Logger } from "../../shared/log.ts";
import type { Spine } from "../../shared/spine/spine.ts";
import { roomSubject, tenantSubject } from "../../shared/subject.ts";
import type { Subject } from "../../shared/subject.ts";
import { systemEnvelope } from "../../shared/system_envelope.ts";
import type { KickCommand, RoomAddress } from "./command.ts";
import type { RoomDocument } from "./document.ts";
import { eventJson } from "./room_event.ts";
import type { RoomEvent, WriteMark } from "./room_event.ts";

/** Spine header with the Brain whose doing a birth or an end is. */
export const BRAIN_HEADER = "x-arqon-brain";

/** What an announcer needs. */
export interface AnnouncerOptions {
  readonly spine: Spine;
  readonly brain_id: string;
  /** Unix ms. */
  readonly now: () => number;
  /** In [0, 1): for ids of messages and traces. */
  readonly random: () => number;
  readonly log: Logger;
}

/** Each returns false, and logs why, when the Spine did not take it. */
export interface Announcer {
  /** ROOM_UPDATE to the room. `trace_id` "": a trace of its own. */
  event(at: RoomAddress, event: RoomEvent, mark: WriteMark, trace_id: string): boolean;
  /** ROOM_CREATED to the tenant's backends. */
  created(at: RoomAddress, document: RoomDocument): boolean;
  /** ROOM_ENDED. */
  ended(at: RoomAddress, document: RoomDocument): boolean;
  /** Tells the Shields; throws what the Spine throws: a kick that nobody hears has not happened. */
  kick(at: RoomAddress, command: KickCommand): void;
}

const utf8 = new TextEncoder();

/** Random bytes from a source of numbers; these ids are no secrets. */
function bytesFrom(random: () => number): Random {
  return (size_bytes) => Uint8Array.from({ length: size_bytes }, () => Math.floor(random() * 256));
}

/** One per process. */
export function createAnnouncer(options: AnnouncerOptions): Announcer {
  const { spine, brain_id, now, log } = options;
  const random = bytesFrom(options.random);
  const envelope = (at: RoomAddress, trace_id: string, more: EnvelopeInput): Uint8Array =>
    systemEnvelope({ now, random }, {
      trace_id: trace_id === "" ? traceId(random) : trace_id,
      tenant_id: at.tenant_id,
      room_id: at.room_id,
      ...more,
    });
  const publish = (subject: Subject, payload: Uint8Array): boolean => {
    try {
      spine.publish(subject, payload, { [BRAIN_HEADER]: brain_id });
      return true;
    } catch (error) {
      log.warn("not published", { subject, error });
      return false;
    }
  };
  const jsonEvent = (type: string, json: string) => ({
    event: { type, data: utf8.encode(json), content_type: "application/json" },
  });
  const lifecycle = (type: "ROOM_CREATED" | "ROOM_ENDED", at_ms: number) => {
    return (at: RoomAddress, { epoch, version }: RoomDocument): boolean => {
      const json = JSON.stringify({ room_id: at.room_id, epoch, version, at_ms: at_ms || now() });
      const message_id = `${at.room_id}:${epoch}:${type}`;
      const payload = envelope(at, "", { message_id, ...jsonEvent(type, json) });
      return publish(tenantSubject("rooms", at.tenant_id), payload);
    };
  };
  return {
    event: (at, event, mark, trace_id) => {
      const message_id = `room:${mark.epoch}:${event.version}`;
      const update = jsonEvent("ROOM_UPDATE", eventJson(event, mark));
      const payload = envelope(at, trace_id, { message_id, ...update });
      return publish(roomSubject("out", at.tenant_id, at.room_id), payload);
    },
    created: (at, document) => lifecycle("ROOM_CREATED", document.created_ms)(at, document),
    ended: lifecycle("ROOM_ENDED", 0),
    kick: (at, { target_kind, target, reason, from }) => {
      const payload = envelope(at, from.trace_id, {
        signal: { kind: "DISCONNECT", target, reason },
        headers: { target_kind },
      });
      spine.publish(tenantSubject("signals", at.tenant_id), payload, { [BRAIN_HEADER]: brain_id });
    },
  };
}
