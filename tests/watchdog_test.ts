/**
 * Whole buses in separate processes that die: by a watchdog that considers ordinary work a hang, and twice in the
 * middle of the same work.
 */
import assert from "node:assert/strict";
import { atEnd } from "../shared/testing/at_end.ts";
import { found } from "../shared/testing/until.ts";
import { initFolder, type ServedBus, startServe, tokenOf } from "./harness/serve_bus.ts";
import { deadlyHook, Receiver } from "./hooks/receiver.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { logged } from "./harness/server_state.ts";

const STANDS = /level=error component=shield step=[^\n]+ stood_ms=\d+ msg="the event loop hangs/;

/** Appends this to the folder's configuration. */
Deno.test("a bus whose event loop stalls for longer than allowed ends itself", async () => {
  // Loading the program alone takes longer.
  await using folder = await initFolder("#constant watchdog.stall_ms = 1\n");
  await assert.rejects(startServe(folder.path), (error: Error) => {
    assert.match(error.message, /^it ended with 137:/);
    assert.match(error.message, STANDS);
    return true;
  });
});

Deno.test("a schedule that kills the process twice is set aside, and the others continue", async () => {
  await using receiver = new Receiver();
  const hook = deadlyHook(receiver.url);
  await using folder = await initFolder(`#constant watchdog.stall_ms = 15_000\n${hook}`);
  const token = await tokenOf(folder.path, "admin");
  const place = (id: string) => `/v1/tenants/default/schedules/${id}`;
  let bus: ServedBus = await startServe(folder.path);
  const ask = async (method: string, path: string, body?: object) => {
    const answer = await new AdminClient(bus.admin_url, token).ask(method, path, body);
    assert.equal(answer.status, 200, answer.text);
    return answer.body.schedule;
  };
  await using _end = atEnd(() => bus.stop());
  // The process is killed in the middle of each publish of this one.
  let killed = Promise.withResolvers<void>();
  receiver.answer = () => {
    bus.signal("SIGKILL");
    killed.resolve();
    return undefined;
  };
  const message = { type: "tick", data: {} };
  await ask("PUT", place("deadly"), { room: "deadly", message, every_ms: 1_000 });
  await ask("PUT", place("well"), { room: "lobby", message, every_ms: 1_000 });
  for (let death = 0; death < 2; death++) {
    await killed.promise;
    assert.equal(await bus.stop(), 137);
    killed = Promise.withResolvers();
    bus = await startServe(folder.path);
  }
  const [aside, well] = await found("it is set aside", async () => {
    const all = [await ask("GET", place("deadly")), await ask("GET", place("well"))];
    return all[0].state === "set_aside" ? all : undefined;
  });
  assert.equal(receiver.calls.length, 2);
  assert.equal(aside.last.outcome, "set_aside");
  assert.ok(well.published > 0 && well.state !== "set_aside");
  await logged(bus, /level=error [^\n]*schedule=deadly [^\n]*it is set aside/);
  const metrics = await (await fetch(`${bus.ops_url}/metrics`)).text();
  assert.match(metrics, /^shield_schedules\{state="set_aside"\} 1$/m);
});
