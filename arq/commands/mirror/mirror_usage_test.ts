/** `arq mirror` as its own process where no bus runs. `../cluster/observe_test.ts` has the bus. */
import assert from "node:assert/strict";
import { runArq } from "../../testing/run_arq.ts";

const NOWHERE = ["--admin-url", "http://127.0.0.1:1", "--token", "a.b.c"];

Deno.test("wrong command lines of mirror and a bus that is not there are told apart", async () => {
  const cases: [string[], number, RegExp][] = [
    [["set", "lobby"], 2, /missing required argument 'share'/],
    [["set", "lobby", "-0.1"], 2, /unknown option|10% or 10/],
    [["set", "lobby", "--", "-0.1"], 2, /10% or 10/],
    [["set", "lobby", "0.1"], 2, /is it 0\.1% or 10%\?/],
    [["set", "lobby", "100.1"], 2, /10% or 10/],
    [["set", "lobby", "NaN"], 2, /10% or 10/],
    [["set", "lobby", "101%"], 2, /10% or 10/],
    [["set", "a b", "10%", ...NOWHERE], 2, /neither a room nor a subject/],
    [["set", "in.t.acme.*", "10%", "--tenant", "b"], 2, /is of tenant acme, not of b/],
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
  for (const [args, code, expected] of cases) {
    const result = await runArq(["mirror", ...args]);
    assert.equal(result.code, code, `${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stderr, expected, args.join(" "));
    assert.equal(result.stdout, "");
    assert.doesNotMatch(result.stderr, /\.ts:\d/, "no stack trace");
  }
});

Deno.test("help of every mirror command goes to stdout and exits with 0", async () => {
  const group = await runArq(["mirror", "--help"]);
  const names = [...group.stdout.matchAll(/^ {2}([a-z]+) \[options\]/gm)].map(([, name]) => name);
  assert.deepEqual(names, ["set", "list", "remove", "reset", "explain", "diff"]);
  for (const name of names) {
    const { code, stdout } = await runArq(["mirror", String(name), "--help"]);
    assert.equal(code, 0);
    assert.match(stdout, /--json/);
    assert.match(stdout, /Examples:/);
  }
});
