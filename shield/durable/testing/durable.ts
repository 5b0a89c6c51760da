/** The durable rooms of one process on the embedded engine, and a hub on them. Tests only. */
import { configFrom } from "../../../shared/config/load.ts";
import type { TenantRoomClass } from "../../../shared/config/schema_durable.ts";
import { createMetrics, type Registry } from "../../../shared/metrics/metrics.ts";
import { sampleOf } from "../../../shared/testing/sample_of.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import { FlushQueue } from "../../connection/flush_queue.ts";
import { Hub } from "../../fanout/hub.ts";
import { RoomClasses } from "../../../shared/rooms/classes.ts";
import { DEFAULT_CLASS } from "../../../shared/rooms/room_class.ts";
import { createStats, type ShieldStats } from "../../stats/stats.ts";
import { TenantTable } from "../../stats/tenant_stats.ts";
import { random } from "../../fanout/testing/hub.ts";
import { keptLog, SPINE_NOW_MS, testSpine } from "../../testing/spine.ts";
import { startDurable, type StartedDurable } from "../capability.ts";
import { unboundedPatterns } from "../../patterns/testing/unbounded.ts";

/** A running durable side; everything is closed when the scope ends. */
export interface TestDurable extends AsyncDisposable {
  readonly spine: Spine;
  readonly classes: RoomClasses;
  readonly durable: StartedDurable;
  readonly hub: Hub;
  readonly registry: Registry;
  readonly stats: ShieldStats;
  readonly lines: readonly string[];
  metric(series: string): Promise<number>;
}

/** A room class set by a tenant at run time; other members have their defaults. */
export function tenantClass(room: string, options: Partial<TenantRoomClass> = {}): TenantRoomClass {
  const { pattern: _pattern, source: _source, tenant: _tenant, ...rest } = DEFAULT_CLASS;
  return { ...rest, room, ...options };
}

/** Starts the durable rooms; `wrap` can inject faults between the parts and the engine. */
export function testDurable(
  rooms: readonly Record<string, unknown>[],
  wrap: (spine: Spine) => Spine = (spine) => spine,
): TestDurable {
  const engine = testSpine();
  const spine = wrap(engine.spine);
  const config = configFrom({ rooms });
  const classes = new RoomClasses(config.rooms);
  const registry = createMetrics({ node_id: "shield", version: "0" });
  const { log, lines } = keptLog();
  const flushes = new FlushQueue(spine);
  const durable = startDurable({ config, spine, classes, flushes, log, registry });
  const stats = createStats();
  const hub = new Hub({
    spine,
    stats,
    tenants: new TenantTable(),
    now: () => SPINE_NOW_MS,
    random,
    deduplication_entries: 100,
    durable: durable.rooms,
    patterns: unboundedPatterns,
  });
  return {
    spine,
    classes,
    durable,
    hub,
    registry,
    stats,
    lines,
    metric: (series) => sampleOf(registry, series),
    async [Symbol.asyncDispose]() {
      hub.close();
      durable.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}
