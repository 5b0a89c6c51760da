/** The goals for invented rows: which figures are judged, against which bounds, and the text about a missed goal. */
import assert from "node:assert/strict";
import { floodGoals, goalsOf, missedGoals, renderGoals } from "./goals.ts";
import type { Row } from "./load_scenario.ts";

function row(scenario: string, name: string, target: string, more: Partial<Row>): Row {
  return {
    ...{ scenario, case: name, target, title: target, version: "", medians: {}, rounds: [] },
    ...{ least: 0, most: 0, ratio: NaN, missing: 0, problems: [] },
    ...more,
  };
}

const rate = (per_cpu_s: number, ratio = NaN) => ({ medians: { per_cpu_s }, ratio });

/** Whether each goal that was measured is met. */
const judgedOf = (rows: readonly Row[]) =>
  Object.fromEntries(
    goalsOf(rows).flatMap(({ goal, met }) => met === undefined ? [] : [[goal, met]]),
  );

Deno.test("a goal is judged by the worst measured figure, and not without a figure", () => {
  const rows = [
    row("echo", "10000/s", "arqon", { medians: { p99_ms: 4 }, ratio: 0.61 }),
    row("echo", "10000/s", "arqon-nats", { medians: { p99_ms: 6 }, ratio: 0.54 }),
    row("fanout", "1 -> 10, 1 at once", "arqon", rate(100, 0.1)),
    row("fanout", "1 -> 10, 10 at once", "arqon", rate(100, 0.69)),
    row("fanout", "1 -> 10, 10 at once, BATCH", "arqon", rate(300, 2.5)),
    row("fanout", "1 -> 1000, 10 at once", "arqon", rate(100, 1.3)),
    row("many-rooms", "10 rooms", "arqon", rate(100, 0.9)),
    row("many-rooms", "1000 rooms", "arqon", rate(100, 0.5)),
    row("idle", "10000", "arqon", { medians: { kb: 5.9 } }),
    row("handshake", "plain", "arqon", { medians: { p99_ms: 21 } }),
    row("handshake", "TLS", "arqon", { medians: { p99_ms: 59 } }),
  ];
  assert.deepEqual(judgedOf(rows), {
    "echo per core, of Bun's": true,
    "echo p99 at a constant rate, arqon": true,
    "echo p99 at a constant rate, arqon-nats": false,
    "bursts to 10 per core, of Bun's": false,
    "bursts to 1,000 per core, of Bun's": true,
    "rooms per core, of Bun's": false,
    "memory of each of 10,000 idle connections": true,
    "p99 of a handshake, 1,000 a second, plain": false,
    "p99 of a handshake, 1,000 a second, TLS": true,
  });
});

Deno.test("we must be ahead of each rival in its own cases, without BATCH, and with less memory", () => {
  const rows = [
    row("throughput", "10 x 64", "arqon", rate(180)),
    row("throughput", "10 x 64", "centrifugo", rate(100)),
    row("fanout", "1 -> 1000, 10 at once", "arqon", rate(120, 1)),
    row("fanout", "1 -> 1000, 10 at once", "centrifugo", rate(100)),
    row("fanout", "1 -> 1000, 1 at once", "arqon", rate(90, 1)),
    row("fanout", "1 -> 1000, 1 at once", "nats-ws", rate(100)),
    row("fanout", "1 -> 10, 1 at once, BATCH", "arqon", rate(50, 3)),
    row("chat", "100/s", "arqon", rate(100)),
    row("chat", "100/s", "socketio", rate(99)),
    row("many-rooms", "10 rooms", "mosquitto", rate(1_000)),
    row("many-rooms", "10 rooms", "arqon", rate(10)),
    row("idle", "1000", "arqon", { medians: { kb: 30 }, ratio: 1 }),
    row("idle", "1000", "centrifugo", { medians: { kb: 29 } }),
  ];
  const judged = judgedOf(rows);
  assert.equal(judged["throughput per core of Centrifugo's"], false);
  assert.equal(judged["bursts to 1,000 per core of Centrifugo's"], true);
  assert.equal(judged["fan-out to 1,000, of centrifugo's"], true);
  assert.equal(judged["fan-out to 1,000, of nats-ws's"], false);
  assert.equal(judged["chat, of socketio's"], true);
  assert.equal(judged["memory of an idle connection, of centrifugo's"], false);
  const unmeasured = [
    "rooms, of centrifugo's",
    "fan-out to 10, of nats-ws's",
    "echo, of nats-ws's",
  ];
  for (const goal of unmeasured) assert.equal(judged[goal], undefined, goal);
  assert.ok(!Object.keys(judged).some((goal) => goal.includes("mosquitto")));
});

Deno.test("a flood is judged by the median of its rounds on a kind of sockets", () => {
  const effects = [
    { websocket: "own", times: 1.9 },
    { websocket: "own", times: 0.1 },
    { websocket: "own", times: 9 },
    { websocket: "native", times: 3 },
  ];
  const goals = floodGoals(effects);
  assert.deepEqual(goals.map(({ met, measured }) => [met, measured]), [[true, "1.90x"], [
    false,
    "3.00x",
  ]]);
});

Deno.test("a missed goal names its deficit and fails the run; a met goal does not", () => {
  const goals = goalsOf([
    row("echo", "10000/s", "arqon", { medians: { p99_ms: 4 }, ratio: 0.48 }),
    row("handshake", "TLS", "arqon", { medians: { p99_ms: 63 } }),
  ]);
  const table = renderGoals(goals);
  assert.match(table, /echo per core, of Bun's +>= 60 % +48 % +missed by 20 %/);
  assert.match(table, /TLS +< 60\.0 ms +63\.0 ms +missed by 5\.0 %/);
  assert.match(table, /echo p99 at a constant rate, arqon +< 5\.0 ms +4\.0 ms +met/);
  assert.match(table, /throughput per core of Centrifugo's +>= 1\.90x +- +not measured/);
  assert.match(
    missedGoals(goals) ?? "",
    /^2 of \d+ goals missed:\n {2}echo per core.*20 %\n.*5\.0 %$/,
  );
  assert.equal(missedGoals(goals.filter(({ met }) => met !== false)), undefined);
});
