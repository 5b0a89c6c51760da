/**
 * The signals of one Shield on a given Spine, with its bans and revocations, and connections that keep their frames.
 * Tests only.
 */
import assert from "node:assert/strict";
import { ArqonError, decodeServerFrame, ERRORS } from "@arqon/proto";
import { Registry } from "prom-client";
import { configFrom } from "../../../../shared/config/load.ts";
import type { KeyValue, Spine } from "../../../../shared/spine/contract/spine.ts";
import type { ArrivedBan } from "../../../auth/ban_table.ts";
import { NO_PRESENCE } from "../../../connection/presence.ts";
import { ConnectionTable } from "../../../connection/connection_table.ts";
import type { Frame } from "../../../fanout/frame_bytes.ts";
import { receiveSignals, type SignalWrites, startSignalWrites } from "../signal_writes.ts";
import { type Removable, Removals } from "../../../connection/removals.ts";
import { type TestBans, testBans } from "../../../auth/testing/bans.ts";
import { random } from "../../../fanout/testing/hub.ts";
import { type TestRevocations, testRevocations } from "../../../auth/testing/revocations.ts";
import { ann } from "../../../auth/testing/identity.ts";
import { keptLog, SPINE_NOW_MS } from "../../../testing/spine.ts";
import type { ShieldStats } from "../../../stats/stats.ts";

/** The part of a connection that signals use. */
export class Kept implements Removable {
  readonly subscriptions: Removable["subscriptions"] = new Map();
  more_grants: Removable["more_grants"] = undefined;
  readonly frames: Frame[] = [];
  readonly failed: string[] = [];
  readonly identity: Removable["identity"];
  ended = false;

  constructor(
    readonly id: string,
    user_id: string,
    rooms: readonly string[],
    readonly text = false,
    tenant_id = "acme",
  ) {
    const send = () => {};
    const user_key = `${ann.issuer}\n${user_id}`;
    this.identity = { ...ann, tenant_id, user_id, user_key };
    for (const room of rooms) {
      this.subscriptions.set(room, { connection_id: id, text, no_echo: false, send });
    }
  }

  readonly send = (frame: Frame): void => void this.frames.push(frame);

  fail(error: unknown): void {
    assert.ok(error instanceof ArqonError);
    this.failed.push(error.reason);
    if (ERRORS[error.reason].close !== 0) this.ended = true;
  }

  /** The signals sent to it, as a client reads them. */
  get signals(): unknown[] {
    return this.frames.map((frame) => {
      if (typeof frame === "string") {
        const { room, signal } = JSON.parse(frame);
        return { room, ...signal };
      }
      const decoded = decodeServerFrame(frame);
      assert.ok(decoded.kind === "msg");
      const { room_id, signal, headers, timestamp_ms } = decoded.envelope;
      assert.equal(headers["X-Timestamp"], String(SPINE_NOW_MS));
      assert.match(headers["X-Twist-ID"] ?? "", /^[0-9a-f-]{36}$/);
      assert.equal(timestamp_ms, SPINE_NOW_MS);
      return { room: room_id, ...signal };
    });
  }
}

/** The part of a Shield that signals affect. */
export interface TestSignals extends AsyncDisposable {
  readonly removals: Removals<Kept>;
  /** Receives no more signals. */
  readonly stop: () => void;
  readonly writes: SignalWrites;
  readonly bans: TestBans;
  readonly revocations: TestRevocations;
  readonly stats: ShieldStats;
  /** How far the clock of the store is ahead of the wall clock; undefined: it has none. */
  readonly store: { ahead_ms: number | undefined };
  /** The monotonic clock; the wall clock is that of `bans`. */
  readonly passed: { ms: number };
  readonly lines: readonly string[];
}

/** Running signals, with all bans and revocations loaded. `most`: limit of a tenant's bans, and of revocations. */
export async function signalled(
  spine: Spine,
  connections: readonly Kept[] = [],
  most = 1_000,
): Promise<TestSignals> {
  const { log, lines } = keptLog();
  let removals: Removals<Kept> | undefined = undefined;
  const onBan = (ban: ArrivedBan) => removals?.ban(ban);
  const bans = await testBans(spine, Math.max(most, 1_000), onBan);
  const revocations = await testRevocations(spine, most);
  await Promise.all([bans.bans.ready, revocations.held.ready]);
  const { stats, clock } = bans;
  const table = new ConnectionTable<Kept>();
  for (const connection of connections) table.add(connection);
  const now = () => clock.now_ms;
  const passed = { ms: 0 };
  const store: TestSignals["store"] = { ahead_ms: undefined };
  const storeTime = () => Promise.resolve(now() + (store.ahead_ms ?? 0));
  const leave = (connection: Kept, room_id: string) =>
    void connection.subscriptions.delete(room_id);
  const hub = { patterns: undefined };
  const shared = { connections: table, stats, log, now, random };
  const own = removals = new Removals<Kept>({ ...shared, hub, leave });
  const { writes, close } = startSignalWrites({
    spine,
    registry: new Registry(),
    bans_bucket: bans.bucket,
    bans: bans.bans,
    config: configFrom({ brain: { bans_per_tenant: most } }),
    revoke: revocations.revoke,
    bucket: {
      get storeTime() {
        return store.ahead_ms === undefined ? undefined : storeTime;
      },
    } as Pick<KeyValue, "storeTime">,
    log,
    now,
    monotonic_ms: () => passed.ms,
  });
  const stop = receiveSignals({ ...shared, spine, removals: own, presence: NO_PRESENCE, writes });
  return {
    removals: own,
    stop,
    writes,
    bans,
    revocations,
    stats,
    store,
    passed,
    lines,
    async [Symbol.asyncDispose]() {
      await close();
      stop();
      bans[Symbol.dispose]();
      revocations[Symbol.dispose]();
    },
  };
}
