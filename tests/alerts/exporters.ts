/**
 * Pages of metrics of a NATS and a Valkey server with the names of the exporters that `compose.yaml` starts
 * (`prometheus-nats-exporter` with -varz and -healthz_js_enabled_only, `redis_exporter`), of which the registries of
 * Go and Debian that tests use have none: what a server answers is flattened in the same way, and the last figures of
 * one that does not answer stay.
 */
import type { ValkeyServer } from "../harness/valkey_server.ts";

/** A page of metrics. */
export interface Exporter extends AsyncDisposable {
  readonly url: string;
}

function serve(page: () => Promise<string>): Exporter {
  const address = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const server = Deno.serve(address, async () => new Response(await page()));
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** The numbers of a JSON object, each by the names on the way to it. */
function* flattened(value: unknown, name: string): Generator<string> {
  if (typeof value === "number") yield `${name} ${value}`;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return;
  for (const [key, inner] of Object.entries(value)) {
    // Paths that were asked for are counted, too.
    if (/^\w+$/.test(key)) yield* flattened(inner, `${name}_${key}`);
  }
}

/** Of a NATS server whose monitoring listens on the port. */
export function startNatsExporter(monitor_port: number): Exporter {
  const base = `http://127.0.0.1:${monitor_port}`;
  const read = async (path: string) => await (await fetch(`${base}${path}`)).json();
  let last: string[] = [];
  return serve(async () => {
    let is_healthy = 0;
    try {
      last = [...flattened(await read("/varz"), "gnatsd_varz")];
      const { status } = await read("/healthz?js-enabled-only=true");
      is_healthy = status === "ok" ? 1 : 0;
    } catch {
      // It does not answer, which the health says.
    }
    const health = `gnatsd_healthz_js_enabled_only_status_value ${is_healthy}`;
    return [...last, health, ""].join("\n");
  });
}

/** Of a Valkey server. */
export function startValkeyExporter(valkey: ValkeyServer): Exporter {
  return serve(async () => {
    const answer = await valkey.command("PING").catch(() => "");
    return `redis_up ${answer === "+PONG" ? 1 : 0}\n`;
  });
}
