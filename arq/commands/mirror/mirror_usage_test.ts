/** `arq mirror` as its own process where no bus runs. `../cluster/observe_test.ts` has the bus. */
import { type Refusal, refuses } from "../../testing/run_arq.ts";

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("invalid command lines of mirror and an unreachable bus have different errors", async () => {
  const cases: Refusal[] = [
    [["set", "lobby"], 2, /missing required argument 'share'/],
    [["set", "lobby", "-0.1"], 2, /unknown option|10% or 10/],
    [["set", "lobby", "--", "-0.1"], 2, /10% or 10/],
    [["set", "lobby", "0.1"], 2, /is it 0\.1% or 10%\?/],
    [["set", "lobby", "100.1"], 2, /10% or 10/],
    [["set", "lobby", "NaN"], 2, /10% or 10/],
    [["set", "lobby", "101%"], 2, /10% or 10/],
    [["set", "a b", "10%", ...NOWHERE], 2, /neither a room nor a subject/],
    [["set", "in.t.acme.*", "10%", "--tenant", "b"], 2, /belongs to tenant acme, not to b/],
    [["set", "lobby", "0.01%", ...NOWHERE], 4, /503 unreachable/],
    [["list", ...NOWHERE], 4, /503 unreachable/],
    [["list", "--tenant", "a b"], 2, /Not a tenant/],
    [["remove"], 2, /missing required argument 'prefix'/],
    [["remove", "lobby", ...NOWHERE], 4, /503 unreachable/],
    [["explain"], 2, /missing required argument 'subject'/],
    [["explain", "lobby", ...NOWHERE], 4, /503 unreachable/],
    [["diff", ...NOWHERE], 4, /503 unreachable/],
    [["nonsense"], 2, /unknown command/],
  ];
  await refuses(cases, "mirror");
});
