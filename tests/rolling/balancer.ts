/**
 * A load balancer as one would stand before Shields: it asks `/health/ready` again and again, and sends
 * each new connection to the next one that is ready. Connections that are open stay where they are.
 */
import { pace } from "../../shared/testing/pace.ts";
import { seen } from "../../shared/testing/until.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { startTcpProxy } from "../harness/tcp_proxy.ts";

const PROBE_MS = 100;
/** A probe without an answer counts as one that failed. */
const ANSWER_MS = 2_000;

/** Running until its scope ends. */
export interface Balancer extends AsyncDisposable {
  /** For clients. */
  readonly url: string;
  /** Resolves once so many are ready. Rejects after a minute. */
  ready(count: number): Promise<void>;
}

async function isReady({ ready }: ServerProcess): Promise<boolean> {
  try {
    const response = await fetch(`${ready.ops_url}/health/ready`, {
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

/** `servers` gives those that run now. */
export function startBalancer(servers: () => readonly ServerProcess[]): Balancer {
  let ports: number[] = [];
  let turn = 0;
  let over = false;
  const proxy = startTcpProxy(() => ports[turn++ % Math.max(1, ports.length)]);
  const probing = (async () => {
    while (!over) {
      const all = servers();
      const ready = await Promise.all(all.map(isReady));
      ports = all.filter((_, index) => ready[index]).map((server) =>
        Number(new URL(server.ready.url ?? "").port)
      );
      await pace(PROBE_MS);
    }
  })();
  return {
    url: `ws://127.0.0.1:${proxy.port}`,
    async ready(count) {
      await seen("Shields are ready", () => ports.length, (ready) => ready === count);
    },
    async [Symbol.asyncDispose]() {
      over = true;
      await probing;
      await proxy[Symbol.asyncDispose]();
    },
  };
}
