/**
 * `arq trace` as its own process: against spans that a real bus has really sent, shown by an HTTP server
 * in the form of Jaeger's API; and where there is nothing to show. Jaeger itself is not installed here.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { runArq } from "../../arq/testing/run_arq.ts";
import { until } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import { startOtlpReceiver } from "../otlp/receiver.ts";
import type { OtlpReceiver, OtlpSpan } from "../otlp/receiver.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";

/** A span as Jaeger's `/api/traces/{id}` has it. */
function toJaeger(span: OtlpSpan) {
  const tags = Object.entries(span.attributes).map(([key, value]) => ({
    key,
    type: typeof value === "string" ? "string" : "float64",
    value,
  }));
  return {
    traceID: span.trace_id,
    spanID: span.span_id,
    operationName: span.name,
    references: span.parent_span_id === ""
      ? []
      : [{ refType: "CHILD_OF", traceID: span.trace_id, spanID: span.parent_span_id }],
    startTime: Number(span.start_ns / 1_000n),
    duration: Number((span.end_ns - span.start_ns) / 1_000n),
    tags,
    logs: [],
    processID: "p1",
    warnings: null,
  };
}

function jaegerOf(collector: OtlpReceiver): Deno.HttpServer<Deno.NetAddr> {
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const trace_id = new URL(request.url).pathname.replace("/api/traces/", "");
    if (trace_id === "1".repeat(32)) return new Response("<html>no Jaeger</html>");
    const spans = collector.spans().filter((span) => span.trace_id === trace_id).map(toJaeger);
    if (spans.length === 0) {
      const errors = [{ code: 404, msg: "trace not found" }];
      return Response.json({ data: null, errors }, { status: 404 });
    }
    const processes = { p1: { serviceName: "arqon-dev", tags: [] } };
    return Response.json({ data: [{ traceID: trace_id, spans, processes }], errors: null });
  });
}

async function sendOne(collector: OtlpReceiver): Promise<void> {
  await using bus = await startBusWith(`
[server]
drain_ms = 0
[telemetry]
otlp_url = "${collector.url}"
metrics = false
`);
  await using connection = await connect({
    url: bus.url,
    token: bus.token,
    traceparent: () => `00-${TRACE}-b7ad6b7169203331-01`,
  });
  await connection.room("lobby").publish("note", 1);
  await until("a span", () => collector.spans().some(({ name }) => name === "publish"));
}

Deno.test("arq trace shows the spans of a trace, and says what is wrong when it cannot", async () => {
  await using collector = await startOtlpReceiver();
  await sendOne(collector);
  const server = jaegerOf(collector);
  const url = ["--jaeger-url", `http://127.0.0.1:${server.addr.port}/`];
  try {
    const shown = await runArq(["trace", TRACE, ...url]);
    assert.equal(shown.code, 0, shown.stderr);
    assert.match(shown.stdout, /^trace 0af7651916cd43dd8448eb211c80319c, \d spans\n/);
    const publish =
      /^publish +arqon-dev +\+0 µs +[\d.]+ (µs|ms) +tenant=default room=lobby type=note$/m;
    assert.match(shown.stdout, publish);
    const json = await runArq(["trace", `00-${TRACE}-b7ad6b7169203331-01`, "--json", ...url]);
    const { trace_id, spans } = JSON.parse(json.stdout);
    assert.equal(trace_id, TRACE);
    assert.ok(spans.some(({ name }: { name: string }) => name === "publish"));
    const cases: [string[], number, RegExp][] = [
      [[TRACE], 2, /^arq: where is Jaeger\? Give its address: .*--jaeger-url http/],
      [["2".repeat(32), ...url], 1, /Jaeger has no trace 2{32}/],
      [["1".repeat(32), ...url], 1, /not as Jaeger does/],
      [["lobby", ...url], 2, /Expected 32 hex digits/],
      [["0".repeat(32), ...url], 2, /Expected 32 hex digits/],
      [[TRACE, "--jaeger-url", "jaeger"], 2, /Expected a URL/],
      [[TRACE, "--jaeger-url", "http://127.0.0.1:1"], 4, /http:\/\/127\.0\.0\.1:1/],
    ];
    for (const [args, code, expected] of cases) {
      const result = await runArq(["trace", ...args]);
      assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}`);
      assert.match(result.stderr, expected);
      assert.equal(result.stdout, "");
    }
  } finally {
    await server.shutdown();
  }
});
