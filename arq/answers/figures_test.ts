// The lines of `arq status`, from answers made by hand; a real bus is asked in `main_test.ts`.
import assert from "node:assert/strict";
import fc from "fast-check";
import { duration, figureLines } from "../commands/cluster/status.ts";
import { time } from "./figures.ts";

const SINCE_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

Deno.test("an uptime is in hours, minutes and seconds, without units that are not needed", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [59_999, "59s"],
    [60_000, "1m 0s"],
    [3_600_000, "1h 0m 0s"],
    [176_407_000, "49h 0m 7s"],
    [-1, "0s"],
  ];
  for (const [duration_ms, text] of cases) assert.equal(duration(duration_ms), text);
});

Deno.test("a time beyond the range of Date is a number", () => {
  const cases: [number, string][] = [
    [0, "1970-01-01T00:00:00.000Z"],
    [8.64e15, "+275760-09-13T00:00:00.000Z"],
    [Number.MAX_SAFE_INTEGER, "9007199254740991"],
    [-8.64e15 - 1, "-8640000000000001"],
    [NaN, "NaN"],
  ];
  for (const [at_ms, text] of cases) assert.equal(time(at_ms), text);
});

Deno.test("spine, counters and each issuer's keys are one line each, aligned", () => {
  const key = { source: "jwks_url", healthy: false, keys: 0, loaded_ms: 0 };
  const text = figureLines({
    node_id: "shield-1",
    uptime_ms: 3_725_000,
    connections: 2,
    rejects: {},
    ingress_ops: { publish: 3, subscribe: 1 },
    spine: {
      engine: "nats",
      state: "connected",
      since_ms: SINCE_MS,
      reconnects: 1,
      pending_bytes: 0,
      slow_consumers: 0,
      server: "127.0.0.1:4222 2.15.2",
    },
    keys: [
      { issuer: "a", source: "jwks_file", keys: 1, healthy: true, loaded_ms: SINCE_MS },
      { issuer: "b", ...key },
    ],
  });
  assert.equal(
    text,
    `  node_id      shield-1
  uptime       1h 2m 5s
  connections  2
  ingress_ops  publish 3, subscribe 1
  spine        engine nats, state connected, since_ms 2026-01-02T03:04:05.000Z, reconnects 1, pending_bytes 0, slow_consumers 0, server 127.0.0.1:4222 2.15.2
  keys         issuer a, source jwks_file, keys 1, healthy true, loaded_ms 2026-01-02T03:04:05.000Z
  keys         issuer b, source jwks_url, healthy false, keys 0, loaded_ms 0
`,
  );
});

Deno.test("members of another shape have a plain form, and points in time are readable", () => {
  const text = figureLines({
    uptime_ms: "long",
    spine: "down",
    keys: [7],
    drain: { since_ms: SINCE_MS, wait_ms: 5 },
  });
  assert.equal(
    text,
    "  uptime_ms  long\n  spine      down\n  keys       7\n" +
      "  drain      since_ms 2026-01-02T03:04:05.000Z, wait_ms 5\n",
  );
  assert.equal(figureLines(null), "  answer  null\n");
});

Deno.test("whatever a server answers, each figure is one printable line", () => {
  const member = fc.constantFrom("spine", "keys", "uptime_ms", "since_ms", "\u001b[2J\n");
  fc.assert(fc.property(fc.dictionary(member, fc.jsonValue()), (figures) => {
    // deno-lint-ignore no-control-regex
    assert.match(figureLines(figures), /^( {2}[^\u0000-\u001f\u007f]*\n)*$/);
  }));
});

Deno.test("an empty list is shown as empty", () => {
  const text = figureLines({ platform: { modules: [], quarantined: [], workers: 2 } });
  assert.equal(text, "  platform  modules none, quarantined none, workers 2\n");
});
