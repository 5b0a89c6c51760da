/** For tests: whole Brains with their own connections to one NATS server. */
import { configFrom } from "../../shared/config/load.ts";
import { keptLog, QUIET } from "../../shared/testing/logs.ts";
import { createMetrics, type Registry } from "../../shared/metrics/metrics.ts";
import { openSpine } from "../../shared/spine/open.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { NatsServer } from "../../tests/harness/nats_server.ts";
import { QUICK } from "../presence/testing/spine_network.ts";
import { BRAIN_CAPABILITIES } from "../capabilities.ts";
import type { BrainCapability } from "../capability.ts";
import { type Brain, startBrain } from "../server.ts";

/** One Brain. Disposing it drains it. */
export interface Node extends AsyncDisposable {
  readonly brain: Brain;
  readonly spine: Spine;
  readonly registry: Registry;
  readonly lines: string[];
  /** Its connection ends and nothing it sends is received, as in a crash. */
  kill(): Promise<void>;
}

/** A connection to the server. */
export function openClient(nats: NatsServer): Promise<Spine> {
  const now = Date.now;
  const log = QUIET;
  return openSpine(configFrom({ nats: { urls: [nats.url] } }), { log, now });
}

/** Starts a Brain with short heartbeats; resolves when it serves. */
export async function startNode(
  nats: NatsServer,
  settings: Record<string, unknown> = {},
  capabilities: readonly BrainCapability[] = BRAIN_CAPABILITIES,
): Promise<Node> {
  const config = configFrom({ nats: { urls: [nats.url] }, presence: QUICK, ...settings });
  const now = Date.now;
  const { log, lines } = keptLog({ level: "info", now });
  const registry = createMetrics({ node_id: "b", version: "0" });
  const spine = await openSpine(config, { log, now });
  const brain = await startBrain({
    capabilities,
    config,
    spine,
    log,
    registry,
    now,
    readTextFile: Deno.readTextFileSync,
    readFile: Deno.readFileSync,
    random: Math.random,
  });
  return {
    brain,
    spine,
    registry,
    lines,
    kill: () => spine.drain(),
    [Symbol.asyncDispose]: async () => {
      await brain.drain();
      await spine.drain();
    },
  };
}

/** The sum of a metric over labels and nodes; of one label's value if it is given. */
export async function total(
  nodes: readonly Node[],
  name: string,
  label: Record<string, string> = {},
): Promise<number> {
  let sum = 0;
  for (const { registry } of nodes) {
    const metric = await registry.getSingleMetric(name)?.get();
    for (const { value, labels } of metric?.values ?? []) {
      const all: Partial<Record<string, string | number>> = labels;
      const meant = Object.entries(label).every(([key, wanted]) => all[key] === wanted);
      if (meant) sum += value;
    }
  }
  return sum;
}
