/** The interface between supervisor and Shield. */
import assert from "node:assert/strict";
import { configFrom } from "../../shared/config/load.ts";
import { childConfig, readChildOptions, readChildPorts } from "./child_options.ts";

const CHILD = { index: 1, processes: 3, node_id: "edge-1", port: 4000 };

Deno.test("the argument of a child is read, and nothing else is", () => {
  assert.deepEqual(readChildOptions(JSON.stringify(CHILD)), CHILD);
  for (
    const text of ["", "1", "null", "{}", '{"index":0}', JSON.stringify({ ...CHILD, port: 0 })]
  ) {
    assert.throws(() => readChildOptions(text), /is only for the supervisor/);
  }
});

Deno.test("the ports are read from a line of stdout, and other lines are ignored", () => {
  assert.deepEqual(readChildPorts('{"ops_port":1,"admin_port":2}'), { ops_port: 1, admin_port: 2 });
  for (const line of ["", "hello", "[]", '{"ops_port":1}', '{"ops_port":0,"admin_port":70000}']) {
    assert.equal(readChildPorts(line), undefined);
  }
});

Deno.test("a child has the node's configuration, its own id, and operators' ports on loopback", () => {
  const config = configFrom({
    server: { host: "0.0.0.0", port: 0 },
    ops: { port: 4001 },
    admin: { host: "0.0.0.0", port: 4002, operator_tenants: ["ops"] },
  });
  const { server, ops, admin, limits } = childConfig(config, CHILD);
  assert.deepEqual([server.host, server.port, server.node_id], ["0.0.0.0", 4000, "edge-1"]);
  const own = { host: "127.0.0.1", port: 0 };
  assert.deepEqual(ops, own);
  assert.deepEqual(
    admin,
    { ...own, operator_tenants: ["ops"], allowed_hosts: [] },
    "the operators stay",
  );
  assert.deepEqual(limits, config.limits);
});
