/** Patterns of rooms, for fan-out and connections; the patterns capability implements them (`patterns/`). */
import type { StampSource } from "../../shared/records/system_envelope.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import type { ShieldStats } from "../stats/stats.ts";
import type { Channel, Subscriber } from "./channel.ts";
import type { Flow } from "./entry.ts";

/** A hub, for the patterns that receive its rooms. */
export interface PatternHub extends StampSource {
  readonly spine: Pick<Spine, "subscribe">;
  readonly stats: Pick<ShieldStats, "malformed" | "gaps">;
  /** The open rooms, by the subject of clients' messages. */
  readonly channels: ReadonlyMap<string, Channel>;
  readonly open: (tenant_id: string, room_id: string) => void;
  /** Delivers a message of an open room. */
  readonly deliver: (channel: Channel, message: SpineMessage) => void;
  readonly tellGap: (channel: Channel, reason: string) => void;
}

/** The patterns of a hub. */
export interface HubPatterns {
  /** The patterns of a connection; undefined before its first one. */
  of(connection: object): ConnectionPatterns | undefined;
  /** Whether the tenant's subscriptions deliver the messages of a room that is about to be opened. */
  feeds(tenant_id: string, room_id: string): boolean;
  /** How many connections receive the room by a pattern alone. */
  receivers(tenant_id: string, room_id: string): number;
  /** A room was opened: matching patterns enter it. */
  opened(channel: Channel): void;
  /** A room was closed. */
  closed(channel: Channel): void;
  /** The Spine may have lost messages for this pattern of subjects; undefined: for any. */
  lost(pattern: string | undefined, reason: "reconnect" | "slow-consumer"): void;
  close(): void;
}

/** The patterns of one connection. */
export interface ConnectionPatterns {
  /** The rooms that are received by patterns now. */
  readonly rooms: ReadonlyMap<string, { readonly subscriber: Subscriber }>;
  readonly size: number;
  /** The patterns, in the order of subscription. */
  readonly patterns: Iterable<{ readonly pattern: string; readonly no_echo: boolean }>;
  /** Whether the connection requested no echo in some room. */
  readonly has_no_echo: boolean;
  /** Whether a pattern matches the room, and the connection was not kicked from it. */
  covers(room_id: string): boolean;
  /** The subscriber by which the room is received; undefined: no pattern receives it, or none has yet. */
  subscriber(room_id: string): Subscriber | undefined;
  yieldTo(room_id: string): void;
  /** Takes over a room from the connection's ending subscription to it, at its position. */
  takeOver(room_id: string, flow: Flow | undefined): void;
  /** Keeps the connection out of a room until a matching pattern is subscribed to again. */
  putOut(room_id: string, why: string): void;
  /** The steps of ending those that the token no longer grants; the client receives the refusals. */
  endingNotGranted(): Iterable<void>;
  /** The connection has ended, and receives nothing more: the steps in which its rooms are left. */
  ending(): Iterable<void>;
}
