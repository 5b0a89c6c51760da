/**
 * `[bridge.postgres]`: publishes what a database commits, in the process of the bus. The bridge is that of
 * `arq bridge postgres`; here it has no socket and no token.
 */
import type { Config } from "../../shared/config/schema.ts";
import type { Logger } from "../../shared/logs/log.ts";
import type { Registry } from "../../shared/metrics/metrics.ts";
import { bridgedDatabase } from "../../shared/process/bridged_database.ts";
import type { Shield } from "../../shield/server.ts";
import type { BridgeOptions } from "../bridge/bridge.ts";
import { pause } from "../rooms/flow.ts";
import { CommandError } from "../terminal/exit.ts";

/** The issuer of the sender: no token has it. */
const ISSUER = "arqon:bridge";
/** How long it waits for somebody to mend what does not pass on its own, in ms. */
const BLOCKED_MS = 10_000;

interface BridgingOptions {
  readonly config: Config;
  readonly shield: Pick<Shield, "backend">;
  readonly registry: Registry;
  readonly log: Logger;
  /** Unix ms. */
  readonly now: () => number;
  readonly read: (path: string) => string;
}

/** A bridge in this process, or none. */
export interface Bridging {
  /** Publishes nothing more; resolves when what is under way has ended. Never rejects. */
  close(): Promise<void>;
}

/** Begins to follow the database, where there is one. */
export async function startBridging(options: BridgingOptions): Promise<Bridging> {
  const { config, shield, registry, log, now, read } = options;
  const { postgres } = config.bridge;
  if (postgres === undefined) return { close: () => Promise.resolve() };
  const { tenant, user, slot, mode, poll_ms, waiting_messages } = postgres;
  // The client of PostgreSQL is loaded only where there is a bridge.
  const { runBridge } = await import("../bridge/bridge.ts");
  const { bridgeMetrics } = await import("../bridge/metrics.ts");
  const stopping = new AbortController();
  const { signal } = stopping;
  const bridge: BridgeOptions = {
    ...{ slot, waiting_messages, signal, now, accept_loss: false },
    accept_hint: `delete from arqon.bridge where slot = '${slot}' goes on`,
    database: () => bridgedDatabase(config, read) ?? "",
    bus: shield.backend({ tenant_id: tenant, user_id: user, issuer: ISSUER }),
    reading: mode === "polling" ? { mode, poll_ms } : { mode },
    watch: bridgeMetrics(registry, now),
    say: (text) => log.info(text, { slot }),
  };
  const run = async () => {
    while (!signal.aborted) {
      try {
        await runBridge(bridge);
      } catch (error) {
        const hint = error instanceof CommandError ? error.hint : undefined;
        log.error("the bridge cannot go on; it tries again", { slot, error, hint });
        await pause(BLOCKED_MS, signal);
      }
    }
  };
  const ended = run();
  return {
    close() {
      stopping.abort();
      return ended;
    },
  };
}
