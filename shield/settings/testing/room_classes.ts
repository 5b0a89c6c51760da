/** Room classes as `room_classes.ts` makes them, over real settings on an embedded engine. */
import { configFrom } from "../../../shared/config/load.ts";
import type { RoomClassEntry, TenantRoomClass } from "../../../shared/config/schema_durable.ts";
import { createMetrics } from "../../../shared/metrics/metrics.ts";
import type { Admin } from "../../admin/routing/admin_scope.ts";
import { openSettings, type Settings } from "../settings.ts";
import { adminRequest, askJson } from "../../admin/routing/testing/admin.ts";
import { keptLog, SPINE_NOW_MS, type TestSpine, testSpine } from "../../testing/spine.ts";
import { ROOM_ROUTES } from "../../classes/api.ts";
import { type StartedRoomClasses, startRoomClasses } from "../room_classes.ts";

/** Classes of a config, with defaults for absent options. */
export function configClasses(...rooms: object[]): RoomClassEntry[] {
  return configFrom({ rooms }).rooms;
}

/** Classes of a tenant's settings. */
export function tenantClasses(...rooms: object[]): TenantRoomClass[] {
  return configClasses(...rooms).map(({ tenant: _, ...one }) => one);
}

/** Running classes and their effects. */
export interface TestRooms extends AsyncDisposable {
  readonly engine: TestSpine;
  readonly settings: Settings;
  readonly started: StartedRoomClasses;
  readonly lines: readonly string[];
  metrics(): Promise<string>;
  /** One request of an admin, an operator unless another one is given, answered by status and JSON. */
  // deno-lint-ignore no-explicit-any -- the tests say what is in it
  ask(m: string, path: string, body?: unknown, as?: Admin): Promise<{ status: number; body: any }>;
}

/** Starts the classes with these entries of `[[rooms]]`. */
export async function testRooms(...rooms: object[]): Promise<TestRooms> {
  const engine = testSpine();
  const registry = createMetrics({ node_id: "s1", version: "0" });
  const { log, lines } = keptLog();
  const { spine } = engine;
  const settings = await openSettings({ spine, log, registry, now: () => SPINE_NOW_MS });
  await settings.ready;
  const config = configFrom({ rooms });
  const started = startRoomClasses({ config, settings, registry });
  const context = { classes: started.classes, settings, log, node_id: "s1" };
  return {
    engine,
    settings,
    started,
    lines,
    metrics: () => registry.metrics(),
    ask(method, path, body, as) {
      // No room of these tests has messages.
      const logs = { of: (tenant_id: string) => Promise.reject(new Error(tenant_id)) };
      const request = adminRequest(method, path, body);
      return askJson(ROOM_ROUTES, { ...context, logs }, request, as);
    },
    async [Symbol.asyncDispose]() {
      started.close();
      settings.close();
      await engine[Symbol.asyncDispose]();
    },
  };
}
