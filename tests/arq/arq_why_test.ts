/**
 * Operators' queries to a real bus by `arq why`, `arq room list` and `arq trace`: the outcome of a message for a user,
 * the existing rooms, the path of a trace.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { type Refusal, refuses, runArq, succeeds } from "../../arq/testing/run_arq.ts";
import { atEnd } from "../../shared/testing/at_end.ts";
import { until } from "../../shared/testing/until.ts";
import { startLocalBus } from "../harness/local_bus.ts";
import { PATIENT_POLICIES } from "../harness/patient_policies.ts";
import { type OtlpReceiver, type OtlpSpan, startOtlpReceiver } from "../otlp/receiver.ts";
import { enforce } from "../peers/policy_admin.ts";
import { ask, openText } from "../peers/raw_client.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";
import { reducedRooms } from "../../shared/testing/reducers.ts";

// `arq why` against a real bus: its report about a message and a user, also from the journal, and its exit codes.

Deno.test("arq why shows who received a message, who did not, and how far back it knows", async () => {
  await using bus = await startLocalBus();
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const why = (...args: string[]) =>
    runArq(["why", ...args, "--admin-url", bus.admin_url, "--token", token]);
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  using bob = await openText(bus.url, await bus.tokenFor({ user: "bob" }));
  await ask(ann, { op: "sub", room: "hall", no_echo: true });
  await ask(bob, { op: "sub", room: "hall" });
  for (const message_id of ["one", "two"]) {
    await ask(ann, { op: "pub", room: "hall", type: "t", data: 1, message_id });
  }
  const sent = await why("--message-id", "one", "--user", "bob");
  assert.equal(sent.code, 0, sent.stderr);
  // The admission precedes it, once the journal has stored the decision.
  assert.match(sent.stdout, /^message in hall: message_id one, trace [0-9a-f]{32}, twist /m);
  assert.match(sent.stdout, /\n {2}sent 20\d\d-.*Z \(MSG\)\n/);
  assert.match(sent.stdout, /\nledger of \S+ since 20\d\d-/);
  const echo = await why("--message-id", "one", "--user", "ann");
  assert.match(echo.stdout, /left out: the client published it and subscribed without echo/);
  const all = await why("--user", "bob", "--room", "hall", "--since", "10m");
  assert.match(all.stdout, /subscribed .* to now\n {2}due 2, sent 2, not sent 0\n/);
  await ask(bob, { op: "unsub", room: "hall" });
  await ask(ann, { op: "pub", room: "hall", type: "t", data: 1, message_id: "three" });
  const late = await why("--message-id", "three", "--user", "bob", "--json");
  const { connections } = JSON.parse(late.stdout);
  assert.deepEqual(
    [connections[0].outcomes[0].state, connections[0].outcomes[0].why],
    ["not_subscribed", "unsubscribed"],
  );
  for (
    const [flags, what] of [
      [["--message-id", "three", "--user", "eve"], "connection of eve"],
      [["--room", "hall", "--since", "1m", "--connection", "gone"], "connection gone"],
    ] as const
  ) {
    const { stdout } = await why(...flags);
    assert.match(stdout, new RegExp(`^no ${what} on any Shield since 20\\S+$`, "m"));
  }
  assert.doesNotMatch(sent.stdout, /no connection/);
  const unknown = await why("--message-id", "none");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stdout, /^no Shield's ledger has it\nledger of /);
  for (
    const args of [
      [],
      ["--offset", "1"],
      ["--trace", "a", "--twist", "b"],
      ["--user", "a", "--connection", "b"],
      ["--user", "a", "--since", "1m"],
      ["--message-id", "a", "--since", "1m"],
    ]
  ) {
    assert.equal((await why(...args)).code, 2, args.join(" "));
  }
  const user = ["--admin-url", bus.admin_url, "--token", bus.token];
  assert.equal((await runArq(["why", "--user", "bob", ...user])).code, 3);
});

const WITH_JOURNAL = `[admin]
operator_tenants = ["default"]
[journal]
journal = "all"
#constant journal.flush_ms = 50
${durableRooms("log-*")}
${PATIENT_POLICIES}`;

/** A bus with a journal and a policy; ann has sent one admitted and two refused messages. */
async function withJournal(
  work: (why: (...args: string[]) => ReturnType<typeof runArq>) => Promise<void>,
): Promise<void> {
  await using bus = await startLocalBus(WITH_JOURNAL);
  await enforce(bus, "bad_words", { name: "words" });
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const flags = ["--admin-url", bus.admin_url, "--token", token];
  {
    using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
    await ask(ann, { op: "sub", room: "log-1" });
    const trace_id = TRACE;
    for (
      const [text, more] of [["hello", {}], ["malware", {}], ["malware", { trace_id }]] as const
    ) {
      const message_id = `m-${text}-${Object.keys(more).length}`;
      const event = { room: "log-1", type: "chat", data: { text }, message_id };
      ann.send({ op: "pub", id: 7, ...event, ...more });
      while ((await ann.json()).id !== 7);
    }
  }
  const at = ["--url", bus.url, "--token", token];
  succeeds(await runArq(["pub", "alone", "1", "--message-id", "m-alone", ...at]));
  await until("the decisions are stored", async () => {
    const { stdout } = await runArq(["journal", "list", "--json", ...flags]);
    return stdout.split("\n").filter((line) => line.includes('"m-')).length === 4;
  });
  await work((...args) => runArq(["why", ...args, ...flags]));
}

const TRACE = "0af7651916cd43dd8448eb211c80319c";

Deno.test("arq why shows the outcome, then the journal's admission steps, also of a refused message", async () => {
  await withJournal(async (why) => {
    const passed = succeeds(await why("--message-id", "m-hello-0", "--user", "ann"));
    assert.match(passed, /\ndecided at \S+ 20\S+: allowed, offset 1\n/);
    assert.match(passed, /\n {2}on_message chat in log-1 by ann, connection \S+, from /);
    assert.match(
      passed,
      /\n {2}policy: words allows, \d+ units of \d+, module [0-9a-f]{12}, policies of version \d+\n/,
    );
    for (const line of WAY_IN) assert.match(passed, line);
    assert.match(
      passed,
      /^message in log-1: offset 1, .*\n[^]* {2}sent 20[^]*\ndecided at /,
    );
    for (
      const args of [["--room", "log-1", "--offset", "1"], ["--trace", traceIn(passed)]]
    ) {
      assert.match((await why(...args)).stdout, /^decided at \S+ \S+ allowed, offset 1\n/m);
    }
    // Refused messages are in no ledger.
    for (const args of [["--message-id", "m-malware-0"], ["--trace", TRACE]]) {
      const refused = await why(...args);
      assert.equal(refused.code, 0, refused.stderr);
      assert.match(refused.stdout, /\ndecided at \S+ \S+ refused 403 policy-rejected \(/);
      assert.match(refused.stdout, /\n {2}schema: [^]*\n {2}policy: REFUSED, words refuses 403 /);
      assert.doesNotMatch(refused.stdout, /\n {2}(stamp|offset|mirror): /);
      assert.match(refused.stdout, /^no Shield's ledger has it: it was refused\n/);
      assert.equal(refused.stdout.match(/^decided/gm)?.length, 1);
    }
    const alone = await why("--message-id", "m-alone");
    assert.match(alone.stdout, /^no Shield's ledger has it: its room had no subscriber then/);
    const { stdout } = await why("--message-id", "m-malware-1", "--json");
    const { way_in: { decisions: [decision], is_whole, problem } } = JSON.parse(stdout);
    assert.deepEqual([decision.reason, decision.trace, is_whole, problem], [
      "policy-rejected",
      TRACE,
      true,
      "",
    ]);
    const unknown = await why("--message-id", "none");
    assert.equal(unknown.code, 1);
    assert.match(
      unknown.stdout,
      /^no Shield's ledger has it\n[^]*\nthe journal has no decision about it; none is made about .*\n$/,
    );
    const of_user = await why("--user", "ann", "--json");
    assert.equal(JSON.parse(of_user.stdout).way_in, null, "it is asked for messages only");
  });
});

/** The trace of the first message in an answer. */
const traceIn = (text: string) => text.match(/, trace ([0-9a-f]{32})/)?.[1] ?? "";

/** The expected report about an admitted message, besides schema and policies. */
const WAY_IN = [
  /\n {2}token: issuer \S+, (no kid|kid \S+), role user, until 20/,
  /\n {2}rate: \d+ messages\/s and \d+ bytes\/s of the connection, .* of the tenant\n/,
  /\n {2}grant: (the token has no grants: everything in the tenant|\S+)\n/,
  /\n {2}quota: none for the tenant on all Shields together\n/,
  /\n {2}schema: no schema is mapped\n/,
  /\n {2}room class: class log-\*, of the configuration: durable\n/,
  /\n {2}stamp: trace [0-9a-f]{32}, X-Twist-ID [0-9a-f-]{36}\n/,
  /\n {2}offset: 1\n {2}mirror: no rule matches\n/,
];

Deno.test("arq why continues in the journal, and shows the ledgers if it cannot be read", async () => {
  const nodes = { answered: ["s1"], silent: [] };
  const ledgers = [{ node_id: "s1", since_ms: 0, now_ms: 0 }];
  const lists = { messages: [], connections: [], refusals: [] };
  const answer = { tenant_id: "acme", ...lists, ledgers, nodes, truncated: false };
  const nothing = { decisions: [], holes: [], is_whole: false, problem: "", next: null };
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    ({ url }) => {
      const after = new URL(url).searchParams.get("after");
      const way_in = after === "7.3"
        ? { ...nothing, problem: "no journal here" }
        : { ...nothing, next: "7.3" };
      return Response.json({ ...answer, way_in });
    },
  );
  const admin_url = `http://127.0.0.1:${server.addr.port}`;
  const args = ["why", "--message-id", "m1", "--admin-url", admin_url, "--token", "t"];
  const shown = await runArq(args);
  assert.equal(shown.code, 1);
  assert.match(shown.stdout, /^no Shield's ledger has it\nledger of s1 since /);
  assert.match(shown.stdout, /\nthe journal could not be read: no journal here\n$/);
  const { way_in } = JSON.parse((await runArq([...args, "--json"])).stdout);
  assert.deepEqual([way_in.decisions, way_in.is_whole, way_in.next], [[], false, null]);
});

// `arq room list` on a real bus: rooms with subscribers, and stored rooms without any, page by page.

const CONFIG = `
[admin]
operator_tenants = ["default"]
${durableRooms("log-*")}
${reducedRooms("sum-*", "counter")}
`;

Deno.test("arq room list prints rooms with subscribers, and with --stored those with messages only", async () => {
  await using bus = await startLocalBus(CONFIG);
  using ann = await openText(bus.url, await bus.tokenFor({ user: "ann" }));
  for (const room of ["log-b", "log-a", "plain", "log-c"]) {
    await ask(ann, { op: "pub", room, type: "t", data: 1 });
  }
  const call = { op: "cmd", room: "sum-a", name: "room.call", data: { command: "add", data: 1 } };
  await ask(ann, call);
  await ask(ann, { op: "sub", room: "plain" });
  using eve = await openText(bus.url, await bus.tokenFor({ user: "eve", tenant: "acme" }));
  await ask(eve, { op: "pub", room: "log-theirs", type: "t", data: 1 });
  const token = await bus.tokenFor({ role: "admin" });
  const list = async (...flags: string[]) => {
    const at = ["--admin-url", bus.admin_url, "--token", token];
    const { code, stdout, stderr } = await runArq(["room", "list", ...flags, ...at]);
    assert.equal(code, 0, stderr);
    return [stdout, stderr];
  };
  assert.deepEqual(await list(), ["plain 1 subscriber\n", "tenant default: 1 room\n"]);
  assert.deepEqual(await list("--stored"), [
    "log-a\nlog-b\nlog-c\nsum-a\n",
    "tenant default: 4 rooms\n",
  ]);
  assert.deepEqual(await list("--stored", "--prefix", "log-", "--limit", "2"), [
    "log-a\nlog-b\n",
    "tenant default: 2 rooms; there are more: --behind log-b\n",
  ]);
  assert.deepEqual(await list("--behind", "log-b", "--prefix", "log-"), [
    "log-c\n",
    "tenant default: 1 room\n",
  ]);
  const [text] = await list("--stored", "--tenant", "acme", "--json");
  assert.deepEqual(JSON.parse(String(text)), { tenant_id: "acme", room_id: "log-theirs" });
  const other = await bus.tokenFor({ role: "admin", tenant: "acme" });
  const foreign = ["--stored", "--tenant", "default", "--token", other];
  const refused = await runArq(["room", "list", ...foreign, "--admin-url", bus.admin_url]);
  assert.deepEqual([refused.code, refused.stdout], [3, ""], refused.stderr);
});

// `arq trace` as its own process: with spans that a real bus has sent, served by an HTTP server in the form of Jaeger's
// API; and without a trace. Jaeger itself is not installed here.

/** A span as in Jaeger's `/api/traces/{id}`. */
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
  await using bus = await startLocalBus(`
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

Deno.test("arq trace shows the spans of a trace, and reports errors", async () => {
  await using collector = await startOtlpReceiver();
  await sendOne(collector);
  const server = jaegerOf(collector);
  const url = ["--jaeger-url", `http://127.0.0.1:${server.addr.port}/`];
  await using _end = atEnd(() => server.shutdown());
  const shown = succeeds(await runArq(["trace", TRACE, ...url]));
  assert.match(shown, /^trace 0af7651916cd43dd8448eb211c80319c, \d spans\n/);
  const publish =
    /^publish +arqon-dev +\+0 µs +[\d.]+ (µs|ms) +tenant=default room=lobby type=note$/m;
  assert.match(shown, publish);
  const json = await runArq(["trace", `00-${TRACE}-b7ad6b7169203331-01`, "--json", ...url]);
  const { trace_id, spans } = JSON.parse(json.stdout);
  assert.equal(trace_id, TRACE);
  assert.ok(spans.some(({ name }: { name: string }) => name === "publish"));
  const cases: Refusal[] = [
    [[TRACE], 2, /^arq: where is Jaeger\? Give its address: .*--jaeger-url http/],
    [["2".repeat(32), ...url], 1, /Jaeger has no trace 2{32}/],
    [["1".repeat(32), ...url], 1, /the answer is not Jaeger's/],
    [["lobby", ...url], 2, /Expected 32 hex digits/],
    [["0".repeat(32), ...url], 2, /Expected 32 hex digits/],
    [[TRACE, "--jaeger-url", "jaeger"], 2, /Expected a URL/],
    [[TRACE, "--jaeger-url", "http://127.0.0.1:1"], 4, /http:\/\/127\.0\.0\.1:1/],
  ];
  await refuses(cases, "trace");
});
