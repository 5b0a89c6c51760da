/** The lines of tenants' programs that reach the process's log, and the notice of dropped ones. */
import assert from "node:assert/strict";
import { keptLog } from "../testing/logs.ts";
import { PROGRAM_LINES, programLog } from "./tenant_lines.ts";

function writer() {
  const clock = { now_ms: 1_790_000_000_000 };
  const now = () => clock.now_ms;
  const { log, lines } = keptLog({ component: "overseer", now });
  const writeOne = programLog(log, now, "policies");
  const write = (tenant_id: string, some: readonly ReturnType<typeof line>[]) => {
    for (const { level, message } of some) {
      writeOne({ module: "auth_policy", tenant_id }, level, message);
    }
  };
  return { lines, clock, write };
}

const line = (message: string, level = 1) => ({ level, message });

Deno.test("a line names the policy and has its level", () => {
  const { lines, write } = writer();
  write("acme", [line("fine", 0), line("hm", 2), line("odd", 9)]);
  assert.match(
    lines[0] ?? "",
    /^level=debug component=overseer module=auth_policy tenant_id=acme msg="fine"/,
  );
  assert.match(lines[1] ?? "", /^level=warn /);
  assert.match(lines[2] ?? "", /^level=info /);
});

Deno.test("over the limit one line per second reports dropped lines, in any batches", () => {
  for (const batch of [1, 7, 200]) {
    const { lines, clock, write } = writer();
    for (let sent = 0; sent < 210; sent += batch) {
      write("acme", Array.from({ length: batch }, (_, index) => line(`${sent + index}`)));
    }
    assert.equal(lines.length, PROGRAM_LINES + 1, `batches of ${batch}`);
    assert.match(lines.at(-1) ?? "", /^level=warn .*log too much/);
    write("other", [line("heard")]);
    assert.match(lines.at(-1) ?? "", /tenant_id=other msg="heard"/, "each tenant has its own rate");
    clock.now_ms += 1_000;
    write("acme", [line("again")]);
    assert.match(lines.at(-1) ?? "", /msg="again"/);
  }
});
