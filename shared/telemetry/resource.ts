/**
 * Who speaks and to whom, for all that leaves the process by OTLP: the attributes of the process and
 * the address of the collector. Loads no OpenTelemetry package, so that a `main.ts` may use it.
 */
import type { Config } from "../config/schema.ts";

/** The attributes of this process, by OpenTelemetry's semantic conventions. */
export interface TelemetryResource {
  readonly "service.name": string;
  readonly "service.namespace": "arqon";
  readonly "service.instance.id": string;
  readonly "service.version": string;
}

/** Attributes for a process: `service_name` as "arqon-shield", `node_id` unique in the cluster. */
export function telemetryResource(
  process: { readonly service_name: string; readonly node_id: string; readonly version: string },
): TelemetryResource {
  return {
    "service.name": process.service_name,
    "service.namespace": "arqon",
    "service.instance.id": process.node_id,
    "service.version": process.version,
  };
}

/** What the exporters of the npm SDK take. */
export interface OtlpTarget {
  readonly url: string;
  readonly headers: Record<string, string>;
  /** How long one export may take, its retries with it. */
  readonly timeoutMillis: number;
}

/**
 * Where a signal goes: `otlp_url` with `/v1/traces` or `/v1/metrics` at its end. Undefined when there is
 * no collector.
 */
export function otlpTarget(
  telemetry: Pick<Config["telemetry"], "otlp_url" | "otlp_headers" | "timeout_ms">,
  signal: "traces" | "metrics",
): OtlpTarget | undefined {
  const { otlp_url, otlp_headers, timeout_ms } = telemetry;
  if (otlp_url === undefined) return undefined;
  return {
    url: `${otlp_url.replace(/\/+$/, "")}/v1/${signal}`,
    headers: Object.fromEntries(otlp_headers.map(({ name, value }) => [name, value])),
    timeoutMillis: timeout_ms,
  };
}
