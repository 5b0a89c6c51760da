/**
 * Removes open connections, or ends their subscriptions to a room: banned users, revoked tokens, and orders of
 * operators and backends. `bans.ts` and `revocations.ts` reject the same users later on.
 */
import { ArqonError, encodeMsg, encodeTextMessage, readEnvelope } from "@arqon/proto";
import type { PlainSignal } from "@arqon/proto";
import type { Env } from "../../shared/env.ts";
import { EVERY_ROOM } from "../../shared/records/bans.ts";
import type { Revocation } from "../../shared/records/revocations.ts";
import { systemEnvelope } from "../../shared/records/system_envelope.ts";
import { companionsOf } from "../../shared/rooms/reserved.ts";
import { inPieces, slice, STRANGERS } from "../../shared/turns/slices.ts";
import { notGranted } from "../auth/authorize.ts";
import type { ArrivedBan } from "../auth/ban_table.ts";
import { banRefusal } from "../auth/bans.ts";
import type { Identity } from "../auth/identity.ts";
import { revokedRefusal } from "../auth/revocations.ts";
import type { Frame } from "../fanout/frame_bytes.ts";
import type { Hub } from "../fanout/hub.ts";
import { bump, type ShieldStats } from "../stats/stats.ts";
import type { Connection } from "./connection.ts";
import type { ConnectionTable } from "./connection_table.ts";

/** Connections that one slice handles: each affected one gets frames, and leaves its rooms or ends. */
const A_PIECE = 16;

/** What removals need of a connection. */
export type Removable = Pick<
  Connection,
  "id" | "identity" | "more_grants" | "text" | "ended" | "send" | "fail" | "subscriptions"
>;

interface RemovalsOptions<C extends Removable> extends Pick<Env, "log" | "now" | "random"> {
  readonly connections: ConnectionTable<C>;
  readonly hub: Pick<Hub, "patterns">;
  /** Ends the connection's subscription to a room, and its membership. */
  readonly leave: (
    connection: C,
    room_id: string,
    why: "kick" | "room-ban" | "not-granted",
  ) => void;
  readonly stats: Pick<ShieldStats, "kicks">;
}

/** The removals of a process. */
export class Removals<C extends Removable = Connection> {
  readonly #options: RemovalsOptions<C>;

  constructor(options: RemovalsOptions<C>) {
    this.#options = options;
  }

  /** Ends the connections of a banned user. The cost grows with the user's connections. */
  ban(ban: ArrivedBan): void {
    const { tenant_id, room_id, user_id, reason, until_ms } = ban;
    const hit = this.#options.connections.ofUser(tenant_id, user_id);
    if (hit.length === 0) return;
    if (room_id !== EVERY_ROOM) {
      const signal: PlainSignal = { kind: "BAN", target: room_id, reason, until_ms };
      return this.#putOut(hit, tenant_id, signal, "room-ban");
    }
    const signal: PlainSignal = { kind: "BAN", target: user_id, reason, until_ms };
    const frame = this.#framesOf(tenant_id, "", signal);
    this.#forEach(tenant_id, hit, (connection) => {
      bump(this.#options.stats.kicks, "ban");
      connection.send(frame(connection.text));
      connection.fail(banRefusal(room_id, ban));
    });
  }

  /** Ends one connection for an operator; false if it is not on this Shield. */
  disconnect(connection_id: string): boolean {
    const connection = this.#options.connections.get(connection_id);
    if (connection === undefined || connection.ended) return false;
    const refusal = new ArqonError("disconnected", "by an operator");
    this.#end(connection, "operator", "an operator ended the connection", refusal);
    return true;
  }

  /** Ends these connections of a tenant by order of a backend. */
  order(tenant_id: string, hit: readonly C[], reason: string): void {
    const detail = reason === "" ? "by a backend" : `by a backend: ${reason}`;
    this.#forEach(tenant_id, hit, (connection) => {
      this.#end(connection, "signal", reason, new ArqonError("disconnected", detail));
    });
  }

  /** Ends the subscriptions of these connections of a tenant to a room, and their membership. */
  kick(tenant_id: string, hit: readonly C[], room_id: string, reason: string): void {
    const signal: PlainSignal = { kind: "DISCONNECT", target: room_id, reason, until_ms: 0 };
    this.#putOut(hit, tenant_id, signal, "kick");
  }

  /** Ends the connections with revoked tokens, as `find` reports, and what revoked ones have lent. It checks all. */
  revoke(find: (identity: Identity) => Revocation | undefined): void {
    this.#forEach(STRANGERS, [...this.#options.connections], (connection) => {
      const revocation = find(connection.identity);
      if (revocation !== undefined) return this.#endRevoked(connection, revocation);
      this.#endLent(connection, (lender) => find(lender) !== undefined);
    });
  }

  /**
   * Calls `act` for each open connection, in time slices of the tenant; the first slice begins at once if no other
   * runs. A user may have thousands of connections, and thousands of signals may arrive together.
   */
  #forEach(tenant_id: string, all: readonly C[], act: (connection: C) => void): void {
    function* steps() {
      for (const connection of all) {
        if (!connection.ended) act(connection);
        yield;
      }
    }
    const failed = (error: unknown) =>
      this.#options.log.error("not all connections were removed", { tenant_id, error });
    const run = () => inPieces(tenant_id, steps(), A_PIECE);
    const turn = slice(tenant_id);
    (turn === undefined ? run() : turn.then(run))?.catch(failed);
  }

  #end(
    connection: C,
    cause: "operator" | "signal",
    reason: string,
    refusal: ArqonError,
  ): void {
    const { tenant_id } = connection.identity;
    const signal: PlainSignal = { kind: "DISCONNECT", target: connection.id, reason, until_ms: 0 };
    bump(this.#options.stats.kicks, cause);
    connection.send(this.#framesOf(tenant_id, "", signal)(connection.text));
    connection.fail(refusal);
  }

  /** The signal has the reason for people; the following refusal tells programs to get another token. */
  #endRevoked(connection: C, revocation: Revocation): void {
    const { tenant_id, user_id } = connection.identity;
    const { reason, until_ms } = revocation;
    const signal: PlainSignal = { kind: "REVOKE", target: user_id, reason, until_ms };
    bump(this.#options.stats.kicks, "revoked");
    connection.send(this.#framesOf(tenant_id, "", signal)(connection.text));
    connection.fail(revokedRefusal(revocation));
  }

  /** Ends the subscriptions that revoked tokens beside the connection's own have granted. */
  #endLent(connection: C, isRevoked: (lender: Identity) => boolean): void {
    for (const { room, lender } of connection.more_grants ?? []) {
      if (lender === undefined || !isRevoked(lender)) continue;
      this.#options.leave(connection, room, "not-granted");
      connection.fail(notGranted("subscribe", room));
    }
  }

  /**
   * Ends the connections' subscriptions to the signal's room and to its companions: growing values, room values and
   * presence. Subscribed connections receive the reason.
   */
  #putOut(
    hit: readonly C[],
    tenant_id: string,
    signal: PlainSignal,
    cause: "kick" | "room-ban",
  ): void {
    const { hub: { patterns }, stats, leave } = this.#options;
    const rooms = [signal.target, ...companionsOf(signal.target)].map((room) => ({
      room,
      frame: this.#framesOf(tenant_id, room, { ...signal, target: room }),
    }));
    this.#forEach(tenant_id, hit, (connection) => {
      for (const { room, frame } of rooms) {
        const is_subscribed = connection.subscriptions.has(room) ||
          patterns?.of(connection)?.covers(room) === true;
        if (!is_subscribed) continue;
        bump(stats.kicks, cause);
        connection.send(frame(connection.text));
        leave(connection, room, cause);
      }
    });
  }

  /** The signal as a frame, encoded once for each needed form. */
  #framesOf(tenant_id: string, room_id: string, signal: PlainSignal): (text: boolean) => Frame {
    const envelope = systemEnvelope(this.#options, { tenant_id, room_id, signal });
    let binary: Frame | undefined;
    let json: Frame | undefined;
    return (text) =>
      text
        ? (json ??= encodeTextMessage(readEnvelope(envelope)))
        : (binary ??= encodeMsg(envelope));
  }
}
