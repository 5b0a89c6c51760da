/** `[telemetry]`: what leaves the process by OTLP, and how much of it. A part of `schema.ts`. */
import { z } from "zod";
import { always, count, fraction, namedFile } from "./values/schema_values.ts";

const isCollector = (text: string) =>
  URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && new URL(text).search === "";

/** `[telemetry]`; without `otlp_url` nothing is sent. */
export const Telemetry = z.strictObject({
  otlp_url: z.string().refine(isCollector, {
    error: 'expected a URL such as "http://127.0.0.1:4318"',
  }).meta({ format: "uri" }).optional().describe(
    "base URL of an OpenTelemetry collector (OTLP over HTTP with Protobuf; /v1/traces and /v1/metrics are added); absent: nothing is sent",
  ),
  otlp_headers: z.array(z.strictObject({
    name: z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, {
      error: 'expected the name of an HTTP header, for example "authorization"',
    }).describe("name of the header"),
    value: z.string().regex(/^[\t\x20-\x7e]*$/, { error: "expected printable ASCII" }).describe(
      "its value",
    ),
  })).max(64).default([]).describe("headers of each export"),
  headers_file: namedFile(
    'instead of otlp_headers: a file, one header a line, for example "authorization: Bearer …"; read before each export',
  ),
  timeout_ms: count(5_000, 60_000, "timeout of one export; its content is then dropped"),
  traces: z.boolean().default(true).describe("send traces"),
  traces_ratio: fraction.default(0.01).describe(
    "share of traces that begin at this Shield; a client's traceparent decides for its own",
  ),
  traces_per_second: count(
    100,
    1_000_000,
    "traces per second that a Shield records at clients' request; further ones are not recorded",
  ),
  traces_on_error: z.boolean().default(true).describe(
    "export the span of each refused, readable handshake and message, within traces_per_second",
  ),
  metrics: z.boolean().default(true).describe("send the metrics of /metrics too"),
  metrics_interval_ms: z.int().min(1_000).max(3_600_000).default(15_000).describe(
    "time between two exports of metrics",
  ),
  tenant_series: z.int().min(0).max(10_000).default(50).describe(
    'tenants with their own series on /metrics, those with the most messages; others are tenant="_other"',
  ),
}).refine(
  ({ otlp_headers, headers_file }) => headers_file === undefined || !(otlp_headers?.length > 0),
  {
    error: "expected headers in one place: otlp_headers is set too",
    path: ["headers_file"],
    ...always,
  },
);
