/**
 * What the Brain does to connections that are open: kicks from `sys.t.{tenant}.signals`, and bans as
 * they arrive. Who is kept out from then on is `bans.ts`; signals that clients publish to a room are
 * messages like others and do nothing here.
 */
import {
  ArqonError,
  DecodeError,
  encodeMsg,
  encodeTextMessage,
  isId,
  readEnvelope,
} from "@arqon/proto";
import type { PlainEnvelope, PlainSignal } from "@arqon/proto";
import { EVERY_ROOM } from "../shared/bans.ts";
import type { Random } from "../shared/ids.ts";
import type { Revocation } from "../shared/revocations.ts";
import type { Logger } from "../shared/log.ts";
import type { Spine, SpineMessage, Subscription } from "../shared/spine/spine.ts";
import { everyTenant, parseTenantSubject } from "../shared/subject.ts";
import { systemEnvelope } from "../shared/system_envelope.ts";
import { banRefusal } from "./bans.ts";
import type { ArrivedBan } from "./bans.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionTable } from "./connection_table.ts";
import type { Frame } from "./frame_bytes.ts";
import type { Identity } from "./identity.ts";
import { revokedRefusal } from "./revocations.ts";
import { bump } from "./stats.ts";
import type { ShieldStats } from "./stats.ts";

/** What signals need of a connection. */
export type Signalled = Pick<
  Connection,
  "id" | "identity" | "text" | "ended" | "send" | "fail" | "subscriptions"
>;

/** What signals need of the process. */
export interface SignalsOptions<C extends Signalled = Connection> {
  readonly spine: Pick<Spine, "subscribe">;
  readonly connections: ConnectionTable<C>;
  /** Ends the connection's subscription to that room, and its membership. */
  readonly leave: (connection: C, room_id: string) => void;
  readonly stats: Pick<ShieldStats, "kicks" | "dropped_signals">;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  readonly random: Random;
}

/** Running until it is closed. */
export interface Signals {
  /** Puts out who is in. Costs as much as the banned user has connections. */
  onBan(ban: ArrivedBan): void;
  /** An operator ends one connection; false when it is not here. */
  disconnect(connection_id: string): boolean;
  /** Ends the connections whose token `find` says is revoked. Costs one look at each. */
  onRevocations(find: (identity: Identity) => Revocation | undefined): void;
  close(): void;
}

interface Kick {
  readonly tenant_id: string;
  readonly room_id: string;
  readonly target: string;
  readonly target_kind: "user" | "connection";
  readonly reason: string;
}

/** A signal that cannot be acted on; `problem` is a label of a metric. */
interface Dropped {
  readonly problem: "malformed" | "foreign" | "unknown-kind";
}

/** The kick in a message on a tenant's control subject, or why there is none. */
export function readKick({ subject, payload }: SpineMessage): Kick | Dropped {
  const tenant_id = parseTenantSubject(subject);
  let envelope: PlainEnvelope;
  try {
    envelope = readEnvelope(payload);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return { problem: "malformed" };
  }
  const { signal, room_id, headers } = envelope;
  if (tenant_id === undefined || envelope.tenant_id !== tenant_id) return { problem: "foreign" };
  if (signal === undefined) return { problem: "malformed" };
  if (signal.kind !== "DISCONNECT") return { problem: "unknown-kind" };
  const { target, reason } = signal;
  const { target_kind } = headers;
  const known = target_kind === "user" || target_kind === "connection";
  if (!known || target === "" || !isId(room_id)) return { problem: "malformed" };
  return { tenant_id, room_id, target, target_kind, reason };
}

/** Begins to listen; takes effect at the server with the next flush. Throws what the Spine throws. */
export function startSignals<C extends Signalled>(options: SignalsOptions<C>): Signals {
  const { connections, stats, log } = options;

  function onMessage(message: SpineMessage): void {
    const kick = readKick(message);
    if ("problem" in kick) {
      bump(stats.dropped_signals, kick.problem);
      log.warn("a control signal was dropped", { subject: message.subject, ...kick });
      return;
    }
    const { tenant_id, room_id, target, target_kind, reason } = kick;
    const hit = target_kind === "user"
      ? connections.ofUser(tenant_id, target)
      : [connections.ofTenant(tenant_id, target)].filter((one) => one !== undefined);
    const signal: PlainSignal = { kind: "DISCONNECT", target: room_id, reason, until_ms: 0 };
    putOut(options, hit, tenant_id, room_id, signal, "kick");
  }

  const subscription: Subscription = options.spine.subscribe(everyTenant("signals"), onMessage);
  return {
    onBan(ban) {
      const { tenant_id, room_id, user_id, reason, until_ms } = ban;
      const hit = connections.ofUser(tenant_id, user_id);
      if (hit.length === 0) return;
      if (room_id !== EVERY_ROOM) {
        const signal: PlainSignal = { kind: "BAN", target: room_id, reason, until_ms };
        return putOut(options, hit, tenant_id, room_id, signal, "room-ban");
      }
      const signal: PlainSignal = { kind: "BAN", target: user_id, reason, until_ms };
      const frame = framesOf(options, tenant_id, "", signal);
      for (const connection of hit) {
        if (connection.ended) continue;
        bump(stats.kicks, "ban");
        connection.send(frame(connection.text));
        connection.fail(banRefusal(room_id, ban));
      }
    },
    disconnect(connection_id) {
      const connection = connections.get(connection_id);
      if (connection === undefined || connection.ended) return false;
      const { tenant_id } = connection.identity;
      const signal: PlainSignal = {
        kind: "DISCONNECT",
        target: connection_id,
        reason: "an operator ended the connection",
        until_ms: 0,
      };
      bump(stats.kicks, "operator");
      connection.send(framesOf(options, tenant_id, "", signal)(connection.text));
      connection.fail(new ArqonError("disconnected", "by an operator"));
      return true;
    },
    onRevocations(find) {
      for (const connection of [...connections]) {
        const revocation = connection.ended ? undefined : find(connection.identity);
        if (revocation !== undefined) endRevoked(options, connection, revocation);
      }
    },
    close: () => subscription.unsubscribe(),
  };
}

/** The signal says why to people, the refusal after it what to do: get another token. */
function endRevoked<C extends Signalled>(
  options: SignalsOptions<C>,
  connection: C,
  revocation: Revocation,
): void {
  const { tenant_id, user_id } = connection.identity;
  const { reason, until_ms } = revocation;
  const signal: PlainSignal = { kind: "REVOKE", target: user_id, reason, until_ms };
  bump(options.stats.kicks, "revoked");
  connection.send(framesOf(options, tenant_id, "", signal)(connection.text));
  connection.fail(revokedRefusal(revocation));
}

/** Those of them that hear the room hear why they do no longer. */
function putOut<C extends Signalled>(
  options: SignalsOptions<C>,
  hit: readonly C[],
  tenant_id: string,
  room_id: string,
  signal: PlainSignal,
  cause: "kick" | "room-ban",
): void {
  const frame = framesOf(options, tenant_id, room_id, signal);
  for (const connection of hit) {
    if (connection.ended || !connection.subscriptions.has(room_id)) continue;
    bump(options.stats.kicks, cause);
    connection.send(frame(connection.text));
    options.leave(connection, room_id);
  }
}

/** The signal as a frame, encoded once for each form that somebody needs. */
function framesOf(
  stamps: Pick<SignalsOptions, "now" | "random">,
  tenant_id: string,
  room_id: string,
  signal: PlainSignal,
): (text: boolean) => Frame {
  const envelope = systemEnvelope(stamps, { tenant_id, room_id, signal });
  let binary: Frame | undefined;
  let json: Frame | undefined;
  return (text) =>
    text ? (json ??= encodeTextMessage(readEnvelope(envelope))) : (binary ??= encodeMsg(envelope));
}
