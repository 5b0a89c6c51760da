/**
 * A collector for tests: a real HTTP server that accepts OTLP (Protobuf) as an OpenTelemetry Collector does, on a free
 * port, and records everything. Judges nothing: tests do.
 */
import { attributesOf, decodeOtlp, METRICS_REQUEST, TRACE_REQUEST } from "./decode.ts";
import type { Decoded } from "./decode.ts";

/** Attributes by key. */
export type Attributes = Record<string, string | number | boolean>;

/** One data point of a metric. */
export interface OtlpPoint {
  readonly attributes: Attributes;
  /** Of sums and gauges; undefined for a histogram. */
  readonly value: number | undefined;
  readonly start_ns: bigint;
  readonly time_ns: bigint;
  /** Of histograms; `bucket_counts` has one more than `explicit_bounds`. */
  readonly count?: number;
  readonly sum?: number;
  readonly bucket_counts?: readonly number[];
  readonly explicit_bounds?: readonly number[];
}

/** The latest state of one metric from one process. */
export interface OtlpMetric {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  readonly kind: "gauge" | "sum" | "histogram";
  /** 1 delta, 2 cumulative, 0 for gauges. */
  readonly temporality: number;
  readonly is_monotonic: boolean;
  readonly resource: Attributes;
  readonly points: readonly OtlpPoint[];
}

/** One span. */
export interface OtlpSpan {
  /** Lower-case hex. */
  readonly trace_id: string;
  readonly span_id: string;
  /** "" for a root. */
  readonly parent_span_id: string;
  readonly trace_state: string;
  /** W3C flags in the low byte; 0x100 and 0x200: whether the parent is in another process. */
  readonly flags: number;
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly start_ns: bigint;
  readonly end_ns: bigint;
  readonly attributes: Attributes;
  readonly events: readonly { name: string; attributes: Attributes }[];
  readonly links: readonly { trace_id: string; span_id: string }[];
  /** 0 unset, 1 ok, 2 error. */
  readonly status: { readonly code: number; readonly message: string };
  readonly resource: Attributes;
}

/** A running receiver. */
export interface OtlpReceiver extends AsyncDisposable {
  /** For `[telemetry] otlp_url`. */
  readonly url: string;
  readonly port: number;
  /** The latest of each name, from each process that sent one. */
  metrics(): ReadonlyMap<string, readonly OtlpMetric[]>;
  /** All received spans, in order. */
  spans(): readonly OtlpSpan[];
  /** Received requests by signal, including refused ones. */
  readonly requests: { metrics: number; traces: number };
  /** Headers of the last request. */
  headers(): Headers | undefined;
  /** Answers requests with this status from now on; 200 accepts them again. */
  answerWith(status: number): void;
}

const NUMBER = (value: bigint | undefined) => Number(value ?? 0n);

function toPoint(point: Decoded): OtlpPoint {
  const { double, int, start_ns = 0n, time_ns = 0n } = point;
  const common = { attributes: attributesOf(point.attributes), start_ns, time_ns };
  if (point.bucket_counts === undefined) {
    return { ...common, value: double ?? (int === undefined ? undefined : Number(int)) };
  }
  return {
    ...common,
    value: undefined,
    count: NUMBER(point.count),
    sum: point.sum,
    bucket_counts: point.bucket_counts.map(NUMBER),
    explicit_bounds: point.explicit_bounds,
  };
}

function toMetric(metric: Decoded, resource: Attributes): OtlpMetric {
  const kind = metric.histogram ? "histogram" : metric.sum ? "sum" : "gauge";
  const data = metric[kind] ?? { points: [] };
  return {
    name: metric.name,
    description: metric.description ?? "",
    unit: metric.unit ?? "",
    kind,
    temporality: data.temporality ?? 0,
    is_monotonic: data.is_monotonic ?? false,
    resource,
    points: data.points.map(toPoint),
  };
}

function toSpan(span: Decoded, resource: Attributes): OtlpSpan {
  return {
    trace_id: span.trace_id,
    span_id: span.span_id,
    parent_span_id: span.parent_span_id ?? "",
    trace_state: span.trace_state ?? "",
    flags: Number(span["flags"] ?? 0),
    name: span.name ?? "",
    kind: span.kind ?? 0,
    start_ns: span.start_ns ?? 0n,
    end_ns: span.end_ns ?? 0n,
    attributes: attributesOf(span.attributes),
    events: span.events.map((event: Decoded) => ({
      name: event.name ?? "",
      attributes: attributesOf(event.attributes),
    })),
    links: span.links,
    status: { code: span.status?.code ?? 0, message: span.status?.message ?? "" },
    resource,
  };
}

async function bodyOf(request: Request): Promise<Uint8Array> {
  if (request.headers.get("content-encoding") !== "gzip") return await request.bytes();
  const plain = request.body?.pipeThrough(new DecompressionStream("gzip"));
  return await new Response(plain ?? null).bytes();
}

/** Everything of one kind in a request, with the sender's attributes. */
function* itemsOf(request: Decoded, items: string): Iterable<[Decoded, Attributes]> {
  for (const { resource, scopes } of request.resources) {
    const attributes = attributesOf(resource?.attributes ?? []);
    for (const scope of scopes) for (const item of scope[items]) yield [item, attributes];
  }
}

/** Starts it; `port` is for a restart on the same port. */
export function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  const metrics = new Map<string, Map<string, OtlpMetric>>();
  const spans: OtlpSpan[] = [];
  const requests = { metrics: 0, traces: 0 };
  let headers: Headers | undefined;
  let status = 200;
  const take = (path: string, bytes: Uint8Array): void => {
    if (path === "/v1/traces") {
      const request = decodeOtlp(TRACE_REQUEST, bytes);
      for (const [span, resource] of itemsOf(request, "spans")) spans.push(toSpan(span, resource));
      return;
    }
    const request = decodeOtlp(METRICS_REQUEST, bytes);
    for (const [metric, resource] of itemsOf(request, "metrics")) {
      const instances = metrics.get(metric.name) ?? new Map<string, OtlpMetric>();
      const instance = `${resource["service.name"]} ${resource["service.instance.id"]}`;
      metrics.set(metric.name, instances.set(instance, toMetric(metric, resource)));
    }
  };
  const handler = async (request: Request): Promise<Response> => {
    const path = new URL(request.url).pathname;
    const type = request.headers.get("content-type");
    const body = await bodyOf(request);
    if (path !== "/v1/metrics" && path !== "/v1/traces") return new Response("", { status: 404 });
    if (request.method !== "POST") return new Response("", { status: 405 });
    if (type !== "application/x-protobuf") return new Response("", { status: 415 });
    requests[path === "/v1/traces" ? "traces" : "metrics"]++;
    headers = request.headers;
    if (status === 200) take(path, body);
    // An empty message: everything was accepted.
    return new Response(new Uint8Array(0), { status, headers: { "content-type": type } });
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, handler);
  return Promise.resolve({
    url: `http://127.0.0.1:${server.addr.port}`,
    port: server.addr.port,
    metrics: () => new Map([...metrics].map(([name, by]) => [name, [...by.values()]])),
    spans: () => spans,
    requests,
    headers: () => headers,
    answerWith: (next: number) => {
      status = next;
    },
    [Symbol.asyncDispose]: () => server.shutdown(),
  });
}
