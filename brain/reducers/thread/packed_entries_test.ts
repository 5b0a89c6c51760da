/** Packing and unpacking of entries and outcomes are inverse. */
import assert from "node:assert/strict";
import { command, timer, utf8 } from "../testing/rooms.ts";
import { packApplied, packEntries, unpackApplied, unpackEntries } from "./protocol.ts";
import type { Applied } from "./protocol.ts";

Deno.test("entries are unpacked unchanged", () => {
  const entries = [
    command(7, { data: utf8("ü"), id: "i", claims: { team: "blå" }, role: "service" }),
    timer(8, "close", 1_000),
  ];
  assert.deepEqual(unpackEntries(packEntries(entries)), entries);
  assert.deepEqual(unpackEntries(packEntries([])), []);
});

Deno.test("outcomes are unpacked unchanged", () => {
  const nothing = {
    kind: "applied",
    code: 0,
    reason: "",
    answer: new Uint8Array(),
    fault: undefined,
    detail: "",
    offset: 1,
    time_ms: 0,
    repeats: undefined,
    events: [],
    logs: [],
    changes: [],
  } as const satisfies Applied;
  const event = { type: "bid", data: utf8("ü".repeat(40)), to: "user:ann" };
  const applied: Applied[] = [
    { ...nothing, events: [event, { type: "", data: utf8(""), to: "" }], answer: utf8("100") },
    { ...nothing, kind: "rejected", code: 409, reason: "the highest bid is 100", repeats: 3 },
    { ...nothing, kind: "fault", code: 503, reason: "reducer-fuel", fault: "fuel", detail: "out" },
    {
      ...nothing,
      time_ms: 2 ** 45,
      offset: 2 ** 40,
      logs: [{ level: 2, message: "é" }],
      changes: [["é", null], ["b", new Uint8Array([0, 255])]],
    },
  ];
  assert.deepEqual(unpackApplied(packApplied(applied)), applied);
});
