/** A room whose reducer keeps failing is reported on a running bus: by its admin API, and by `arq room programs`. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import { reduced } from "@arqon/sdk/reducers";
import { moduleOf } from "../../brain/reducers/testing/guest_text.ts";
import { runArq } from "../../arq/testing/run_arq.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { found } from "../../shared/testing/until.ts";
import { startBusWith } from "../harness/bus.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const request_timeout_ms = 60_000;
/** A command of the room itself fails; any other sets ten of them. */
const TRAPS = moduleOf({
  apply: `(local $at i32)
    (if (i32.lt_u (i32.load8_u (i32.add (call $room_field (i32.const 0)) (i32.const 4)))
      (i32.const 64)) (then unreachable))
    (loop $more
      (i32.store8 (i32.const 100) (i32.add (i32.const 33) (local.get $at)))
      (call $room_schedule (i32.const 100) (i32.const 1)
        (i64.add (call $room_now) (i64.const 10)) (i32.const 100) (i32.const 1)
        (i32.const 0) (i32.const 0))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 10))))
    (i32.const 0)`,
});

const configWith = (file: string) => `
[server]
drain_ms = 0
[limits]
#constant limits.command_timeout_ms = 60_000
[[reducers]]
name = "traps"
file = "${file}"
${durableRooms("trap-*", 'reducer = "traps"')}
`;

Deno.test("a room that is cut off is named by arq room programs, with its module and last fault", async () => {
  const file = await Deno.makeTempFile({ suffix: ".wasm" });
  await Deno.writeFile(file, TRAPS);
  await using bus = await startBusWith(configWith(file)).finally(() => Deno.remove(file));
  const token = await bus.tokenFor({ role: "admin", user: "root" });
  const arq = (...args: string[]) =>
    runArq(["room", "programs", ...args, "--admin-url", bus.admin_url, "--token", token]);
  const none = await arq("--json");
  assert.deepEqual(JSON.parse(none.stdout).cut_off, [], none.stderr);
  await using client = await connect({ url: bus.url, token, request_timeout_ms });
  await reduced<{ go: [null, null] }>(client.room("trap-1")).call("go", null);
  const path = "/v1/tenants/default/rooms/cut-off";
  const headers = { authorization: `Bearer ${token}` };
  const [{ since_ms, until_ms, fault, ...room }] = await found("it is cut off", async () => {
    const { rooms, total } = await (await fetch(`${bus.admin_url}${path}`, { headers })).json();
    return total === 1 ? rooms : undefined;
  });
  assert.deepEqual([room.room_id, room.module], ["trap-1", await sha256Hex(TRAPS)]);
  assert.equal(fault.reason, "reducer-trap");
  assert.ok(fault.entry >= 6 && since_ms < until_ms, JSON.stringify({ fault, since_ms, until_ms }));
  const { stdout, stderr } = await arq();
  const line = /^trap-1 +[0-9a-f]{16} +20\S+Z +20\S+Z +entry \d+: reducer-trap .*unreachable/m;
  assert.match(stdout, line, stderr);
  assert.match(stdout, /^room +module +cut off since +until +last fault$/m);
});
