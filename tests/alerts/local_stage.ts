/** A bus in the test's process, for tests of alerts. */
import { startLocalBus } from "../harness/local_bus.ts";
import type { LocalBusOptions } from "../harness/local_bus.ts";
import type { TestBus } from "../harness/test_bus.ts";
import type { Stage } from "./play.ts";

/** Who may operate all tenants. */
export const OPERATORS = `[admin]\noperator_tenants = ["*"]\n`;

/** The stage of a bus. */
export interface LocalStage extends Stage {
  readonly bus: TestBus;
  readonly words: Record<string, string>;
}

/** Starts one whose job is that of `deploy/`. */
export async function startLocalStage(
  config: string,
  options?: LocalBusOptions,
): Promise<LocalStage> {
  const bus = await startLocalBus(OPERATORS + config, options);
  return {
    bus,
    pages: { "arqon-dev": bus.ops_url },
    url: bus.http_url,
    admin_url: bus.admin_url,
    ops_url: bus.ops_url,
    token: await bus.tokenFor({ role: "admin" }),
    log: bus.log,
    config: OPERATORS + config,
    words: { TENANT: "default" },
    [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose](),
  };
}
