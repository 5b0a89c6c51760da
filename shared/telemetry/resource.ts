/**
 * The source and the target of everything that the process exports by OTLP: the attributes of the process and the
 * address of the collector. Loads no OpenTelemetry package, so that a `main.ts` may use it.
 */
import type { Config } from "../config/schema.ts";
import type { Logger } from "../logs/log.ts";
import { headersIn, type ReadFile, readSecret, RenewedSecret } from "../process/secret_file.ts";

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

/** The options of the npm SDK's exporters. */
export interface OtlpTarget {
  readonly url: string;
  /** Returns the headers; called before each export. */
  readonly headers: () => Promise<Record<string, string>>;
  /** Timeout of one export, retries included. */
  readonly timeoutMillis: number;
}

/** Reads the file of `headers_file`, and is notified if it fails later. */
interface HeadersSource {
  readonly read: ReadFile;
  readonly log?: Logger;
}

/**
 * The URL of a signal: `otlp_url` followed by `/v1/traces` or `/v1/metrics`. Undefined without a collector. Throws a
 * ConfigError if `headers_file` cannot be used.
 */
export function otlpTarget(
  telemetry: Pick<Config["telemetry"], "otlp_url" | "headers_file" | "timeout_ms">,
  signal: "traces" | "metrics",
  source: HeadersSource,
): OtlpTarget | undefined {
  const { otlp_url, timeout_ms } = telemetry;
  if (otlp_url === undefined) return undefined;
  const headers = telemetryHeaders(telemetry, source);
  return {
    url: `${otlp_url.replace(/\/+$/, "")}/v1/${signal}`,
    headers: () => Promise.resolve(headers()),
    timeoutMillis: timeout_ms,
  };
}

/** The headers of each export, read from the current file. Throws a ConfigError. */
export function telemetryHeaders(
  { headers_file }: Pick<Config["telemetry"], "headers_file">,
  { read, log }: HeadersSource,
): () => Record<string, string> {
  if (headers_file === undefined) return () => ({});
  const file = { key: "telemetry.headers_file", path: headers_file };
  const secret = new RenewedSecret(() => readSecret(read, file, headersIn), log);
  return () => secret.current();
}
