/** `[telemetry]`: what the process exports by OTLP, and the sampling rate. A part of `schema.ts`. */
import { z } from "zod";
import { fraction, namedFile } from "./values/schema_values.ts";

const isCollector = (text: string) =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).search === "";

/** `[telemetry]`; without `otlp_url` nothing is sent. */
export const Telemetry = z.strictObject({
  otlp_url: z.string().refine(isCollector, {
    error: 'expected a URL such as "http://127.0.0.1:4318"',
  }).meta({ format: "uri" }).optional().describe(
    "base URL of an OpenTelemetry collector (OTLP over HTTP with Protobuf; /v1/traces and /v1/metrics are added); absent: nothing is sent",
  ),
  headers_file: namedFile(
    'file with headers of each export, one a line, for example "authorization: Bearer …"; read before each',
  ),
  traces: z.boolean().default(true).describe("send traces"),
  traces_ratio: fraction.default(0.01).describe(
    "share of traces that begin at this Shield; a client's traceparent decides for its own",
  ),
  metrics: z.boolean().default(true).describe("send the metrics of /metrics too"),
  tenant_series: z.int().min(0).max(10_000).default(50).describe(
    'tenants with their own series on /metrics, those with the most messages; others are tenant="_other"',
  ),
});
