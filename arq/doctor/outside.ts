/**
 * Findings about servers that a bus can do without: the quota server and the collector of telemetry. Each is
 * asked as a Shield asks it, once, and nothing is counted or stored there.
 */
import type { Config } from "../../shared/config/schema.ts";
import { otlpTarget } from "../../shared/telemetry/resource.ts";
import { quotaSecrets } from "../../shield/quota/secrets.ts";
import type { Io } from "../terminal/io.ts";
import { filesRead } from "./config_files.ts";
import { ok, warn, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";

async function quotaFinding(io: Io, config: Config): Promise<Finding[]> {
  const { quota } = config;
  if (quota === undefined) return [];
  const check = "quota server";
  const { url, timeout_ms, retry_ms } = quota;
  const { host } = new URL(url);
  const read = await filesRead(io, config);
  const { connectValkey } = await import("../../shield/quota/valkey.ts");
  const ready = Promise.withResolvers<void>();
  try {
    const server = connectValkey({
      ...{ url, timeout_ms, retry_ms, random: () => 0 },
      secrets: () => quotaSecrets(quota, read),
      onConnected: ready.resolve,
      onLost: (why) => ready.reject(new Error(why ?? "it closes the connection")),
    });
    try {
      await ready.promise;
      await server.ping();
    } finally {
      server.close();
    }
    return [ok(check, `${host} answers`)];
  } catch (error) {
    const fix =
      "start it, or look at [quota] url and its login; until then each Shield counts alone";
    return [warn(check, `${host} does not answer: ${whyOf(error)}`, fix)];
  }
}

async function collectorFinding(io: Io, config: Config): Promise<Finding[]> {
  const { telemetry } = config;
  if (telemetry.otlp_url === undefined) return [];
  const check = "collector";
  const { host } = new URL(telemetry.otlp_url);
  const read = await filesRead(io, config);
  try {
    const target = otlpTarget(telemetry, "traces", { read });
    if (target === undefined) return [];
    // An export of nothing.
    const headers = { ...await target.headers(), "content-type": "application/x-protobuf" };
    const signal = AbortSignal.any([io.signal, AbortSignal.timeout(target.timeoutMillis)]);
    const response = await fetch(target.url, { method: "POST", headers, body: "", signal });
    await response.body?.cancel();
    if (response.ok) return [ok(check, `${host} answers`)];
    const fix = "look at [telemetry] otlp_url and the headers";
    return [warn(check, `${host} answers ${response.status} to an empty export`, fix)];
  } catch (error) {
    io.signal.throwIfAborted();
    const fix =
      "start it, or look at [telemetry] otlp_url; until then traces and metrics are dropped";
    return [warn(check, `${host} does not answer: ${whyOf(error)}`, fix)];
  }
}

/** A finding for each that the configuration names. */
export async function outsideFindings(io: Io, config: Config): Promise<Finding[]> {
  return (await Promise.all([quotaFinding(io, config), collectorFinding(io, config)])).flat();
}
