/**
 * Publishes a room's events to the room, its creation and end to the tenant, and kicks to the Shields. Only envelopes
 * and subjects; there are no answers.
 */
import { gapSignal } from "@arqon/proto";
import type { EnvelopeInput } from "@arqon/proto";
import { bytesFrom, traceId } from "../../../shared/ids.ts";
import type { Env } from "../../../shared/env.ts";
import type { SpineHeaders } from "../../../shared/spine/contract/spine_message.ts";
import { roomSubject, tenantSubject } from "../../../shared/subjects/subject.ts";
import type { Subject } from "../../../shared/subjects/subject.ts";
import {
  AGAIN_HEADER,
  changeId,
  FIRST_HEADER,
  ROOM_UPDATE,
} from "../../../shared/records/room_update.ts";
import { jsonEvent, systemEnvelope } from "../../../shared/records/system_envelope.ts";
import type { RoomAddress } from "../../cluster_view.ts";
import type { KickCommand } from "../commands/command.ts";
import type { RoomDocument } from "../store/document.ts";
import { eventJson, isFirst } from "../store/room_event.ts";
import type { RoomEvent, WriteMark } from "../store/room_event.ts";

/** Spine header with the Brain that created or ended the room. */
export const BRAIN_HEADER = "x-arqon-brain";

/** The dependencies of the announcer. */
export interface AnnouncerOptions extends Pick<Env, "spine" | "log" | "now"> {
  readonly brain_id: string;
  /** Numbers in [0, 1), for ids of messages and traces. */
  readonly random: () => number;
  /** Called for each ROOM_UPDATE that the Spine accepted. */
  readonly onUpdate: (kind: "first" | "again") => void;
}

/** Publishes messages of rooms. Each method returns false, and logs the reason, if the Spine refused it. */
export interface Announcer {
  /**
   * Publishes ROOM_UPDATE to the room. `trace_id` "": a new trace. `again_ms`: how long ago it should have been
   * received.
   */
  event(
    at: RoomAddress,
    event: RoomEvent,
    mark: WriteMark,
    trace_id: string,
    again_ms?: number,
  ): boolean;
  /** Publishes ROOM_CREATED to the tenant's backends. */
  created(at: RoomAddress, document: RoomDocument): boolean;
  /** Publishes ROOM_ENDED to the tenant's backends. */
  ended(at: RoomAddress, document: RoomDocument): boolean;
  /** Publishes a GAP to the room: its subscribers' state belongs to another life. */
  changed(at: RoomAddress): boolean;
  /** Publishes a kick to the Shields. Throws the Spine's error: an undelivered kick has no effect. */
  kick(at: RoomAddress, command: KickCommand): void;
}

/** Creates the announcer; one per process. */
export function createAnnouncer(options: AnnouncerOptions): Announcer {
  const { spine, brain_id, now, log, onUpdate } = options;
  const random = bytesFrom(options.random);
  const envelope = (at: RoomAddress, trace_id: string, more: EnvelopeInput): Uint8Array =>
    systemEnvelope({ now, random }, {
      trace_id: trace_id === "" ? traceId(random) : trace_id,
      tenant_id: at.tenant_id,
      room_id: at.room_id,
      ...more,
    });
  const publish = (subject: Subject, payload: Uint8Array, more?: SpineHeaders): boolean => {
    try {
      spine.publish(subject, payload, { ...more, [BRAIN_HEADER]: brain_id });
      return true;
    } catch (error) {
      log.warn("not published", { subject, error });
      return false;
    }
  };
  const lifecycle = (type: "ROOM_CREATED" | "ROOM_ENDED", at_ms: number) => {
    return (at: RoomAddress, { epoch, version }: RoomDocument): boolean => {
      const json = JSON.stringify({ room_id: at.room_id, epoch, version, at_ms: at_ms || now() });
      const message_id = `${at.room_id}:${epoch}:${type}`;
      const payload = envelope(at, "", { message_id, ...jsonEvent(type, json) });
      return publish(tenantSubject("rooms", at.tenant_id), payload);
    };
  };
  return {
    event: (at, event, mark, trace_id, again_ms) => {
      const message_id = changeId({ epoch: mark.epoch, version: event.version });
      const update = jsonEvent(ROOM_UPDATE, eventJson(event, mark));
      const payload = envelope(at, trace_id, { message_id, ...update });
      const again = again_ms === undefined ? {} : { [AGAIN_HEADER]: again_ms.toFixed(0) };
      const first = isFirst(event, mark) ? { [FIRST_HEADER]: "1" } : {};
      const subject = roomSubject("out", at.tenant_id, at.room_id);
      const taken = publish(subject, payload, { ...again, ...first });
      if (taken) onUpdate(again_ms === undefined ? "first" : "again");
      return taken;
    },
    created: (at, document) => lifecycle("ROOM_CREATED", document.created_ms)(at, document),
    ended: lifecycle("ROOM_ENDED", 0),
    changed: (at) => {
      const payload = envelope(at, "", { signal: gapSignal(at.room_id, "epoch-changed") });
      return publish(roomSubject("out", at.tenant_id, at.room_id), payload);
    },
    kick: (at, { target_kind, target, reason, from }) => {
      const payload = envelope(at, from.trace_id, {
        signal: { kind: "DISCONNECT", target, reason },
        headers: { target_kind },
      });
      spine.publish(tenantSubject("signals", at.tenant_id), payload, { [BRAIN_HEADER]: brain_id });
    },
  };
}
