/** Room classes as `room_classes.ts` makes them, over real settings on an embedded engine. */
import { configFrom } from "../../../shared/config/load.ts";
import type { RoomClassEntry, TenantRoomClass } from "../../../shared/config/schema_durable.ts";
import type { Settings } from "../settings.ts";
import { type Ask, asking } from "../../admin/routing/testing/admin.ts";
import { type TestSpine, testSpine } from "../../testing/spine.ts";
import { ROOM_ROUTES } from "../../classes/api.ts";
import { type StartedRoomClasses, startRoomClasses } from "../room_classes.ts";
import { settingsOn } from "./settings.ts";

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
  readonly ask: Ask;
}

/** Starts the classes with these entries of `[[rooms]]`. */
export async function testRooms(...rooms: object[]): Promise<TestRooms> {
  const engine = testSpine();
  const stored = await settingsOn(engine.spine);
  const { settings, registry, lines } = stored;
  const config = configFrom({ rooms });
  const started = startRoomClasses({ config, settings, registry });
  // No room of these tests has messages.
  const logs = { of: (tenant_id: string) => Promise.reject(new Error(tenant_id)) };
  const context = { ...stored, classes: started.classes, logs, node_id: "s1" };
  return {
    engine,
    settings,
    started,
    lines,
    metrics: () => registry.metrics(),
    ask: asking(ROOM_ROUTES, context),
    async [Symbol.asyncDispose]() {
      started.close();
      stored[Symbol.dispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}
