/**
 * The real command as its own process without a bus: wrong command lines, nothing or something else at the address,
 * keys and tokens; suggestions begin with the words that the user typed. `main_test.ts` has the bus.
 */
import assert from "node:assert/strict";
import { decodeJwt } from "@panva/jose";
import { type Refusal, refuses, runArq, succeeds } from "../testing/run_arq.ts";
import { calledAs } from "./called_as.ts";
import { folderWith } from "../testing/disk_io.ts";

Deno.test("without a bus it reports that: exit codes 2, 3 and 4", async () => {
  const cases: Refusal[] = [
    [["sub", "lobby", "--url", "ws://127.0.0.1:1", "--token", "a.b.c"], 4, /503 unreachable/],
    [["sub", "lobby", "--url", "ws://127.0.0.1:1"], 3, /no token for ws:\/\/127\.0\.0\.1:1/],
    [["sub", "lobby", "--url", "nats://x"], 2, /scheme "nats:"; expected/],
    [["sub", "lobby", "--url", "ws://x", "--token", "nonsense"], 3, /token-malformed/],
    [["status", "--ops-url", "http://127.0.0.1:1"], 4, /503 unreachable/],
    [["sub"], 2, /missing required argument/],
    [["sub", "a b"], 2, /Not a room: character " "/],
    [["pub", "lobby"], 2, /nothing to publish: stdin is empty\n {5}give DATA, or --ndjson/],
    [["pub", "lobby", "1", "--ndjson", "x"], 2, /not both/],
    [["pub", "lobby", "--message-id", "m", "--ndjson", "x"], 2, /--message-id names one event/],
    [["pub", "lobby", "--ndjson", "/nowhere", "--url", "ws://x"], 1, /cannot read \/nowhere/],
    [["pub", "lobby", "1", "--rate", "0"], 2, /a number above 0/],
    [["sub", "lobby", "--count", "1.5"], 2, /a whole number above 0/],
    [["sub", "lobby", "--presence", "--meta", "{"], 2, /Expected JSON/],
    [["sub", "lobby", "--meta", "1", "--url", "ws://x"], 2, /--meta needs --presence/],
    [["sub", "lobby", "--from", "-1"], 2, /Expected an offset/],
    [["sub", "lobby", "--from", "1e3"], 2, /Expected an offset/],
    [["sub", "lobby", "--from", "1", "--last", "1"], 2, /'--from <offset>' cannot be used with/],
    [["sub", "lobby", "--since", "1m", "--last", "1"], 2, /'--since <time>' cannot be used with/],
    [["sub", "lobby", "--since", "1w"], 2, /--since "1w": expected 15m, 1h, 7d/],
    [["sub", "lobby", "--last", "0"], 2, /a whole number above 0/],
    [["sub", "lobby", "--epoch", "x"], 2, /--epoch needs --from/],
    [["sub", "a", "b", "--from", "1"], 2, /--from is a position in one room/],
    [["auth", "gen", "--ttl", "1w"], 2, /expected 15m, 1h, 7d/],
    [["auth", "gen", "--tenant", "a.b", "--key", "x"], 2, /--tenant: character "\."/],
    [["auth", "gen", "--key", "x"], 2, /--key needs --issuer and --audience/],
    [["plan", ".", "--since", "1w"], 1, /--since "1w": expected 15m, 1h, 7d/],
    [["nonsense"], 2, /unknown command/],
    [["dwon"], 2, /unknown command 'dwon'\n {5}Did you mean arq dev down\? arq --help/],
    [["dev", "dwon"], 2, /unknown command 'dwon'\n {5}Did you mean arq dev down\? arq dev --help/],
    [["publish", "lobby", "1"], 2, /Did you mean arq pub\?/],
    [["login"], 2, /Did you mean one of arq auth gen, arq context add\?/],
    [["room", "lits"], 2, /Did you mean arq room list\?/],
    [["policy", "ls"], 2, /Did you mean arq policy list\?/],
    [["pub", "lobby", "1", "--jsno"], 2, /unknown option '--jsno'\n {5}Did you mean --json\?/],
    [["policy", "check", "x.ts"], 2, /x\.ts is a policy's source.*\n {5}arq policy build x\.ts/],
    [["policy", "deploy", "x.ts"], 2, /arq policy build x\.ts/],
    [["room", "bans", "lobby", "--tenant", "acme"], 2, /give either ROOM or --tenant/],
    [["schema", "check", "x", "--id", "a", "--journal", "j"], 2, /--journal needs --traffic/],
    [["schema", "push", "x", "--id", "a", "--since", "1d"], 2, /--since needs --traffic/],
    [
      ["schema", "check", "x", "--id", "a", "--traffic", "r", "--unknown", "refuse"],
      2,
      /needs/,
    ],
    [
      ["schema", "check", "x", "--id", "a", "--traffic", "r", "--compat", "FULL"],
      2,
      /--compat:/,
    ],
    [["policy", "test", "p.wasm", "--shrink"], 2, /--shrink needs --cases/],
    [
      ["policy", "replay", "p.v2.wasm", "--journal", "j"],
      2,
      /cannot be a policy's name.*\n {5}give one with --policy/,
    ],
    [["policy", "replay", "p.wasm", "--policy", "a b"], 2, /--policy: character " "/],
    [["policy", "replay", "p.wasm", "--max-flips", "101%"], 2, /a share of the calls: 0 or 0\.1%/],
  ];
  await refuses(cases);
});

Deno.test("a bus that is not ready is exit code 1, and a server that is not a bus has a different error", async () => {
  const checks = { spine: { status: "unavailable", detail: "reconnecting\u001b[2J" } };
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) =>
      new URL(request.url).pathname === "/health/ready"
        ? Response.json({ status: "unavailable", checks }, { status: 503 })
        : new Response("<html>", { status: 404 }),
  );
  const ops_url = `http://127.0.0.1:${server.addr.port}`;
  const people = await runArq(["status", "--ops-url", ops_url]);
  assert.equal(people.code, 1);
  assert.match(
    people.stdout,
    /^NOT READY {2}http.*\n {2}spine {2}unavailable {2}reconnecting\\u001b/,
  );
  const json = await runArq(["status", "--json", "--ops-url", ops_url]);
  assert.equal(JSON.parse(json.stdout).ready, false);
  const other = await runArq(["status", "--ops-url", `${ops_url}/elsewhere`]);
  assert.equal(other.code, 4);
  assert.match(other.stderr, /answers HTTP 404, but not JSON/);
  const sub = await runArq(["sub", "lobby", "--url", ops_url, "--token", "a.b.c"]);
  assert.equal(sub.code, 4);
  assert.match(sub.stderr, /HTTP 404.*\n.*is not an ArqonBus/);
});

Deno.test("help goes to stdout, lists the exit codes, and exits with 0", async () => {
  for (const args of [["--help"], ["pub", "--help"], ["auth", "gen", "--help"]]) {
    const { code, stdout, stderr } = await runArq(args);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /130 {2}interrupted/);
  }
});

Deno.test("auth keys makes a key for auth gen, keeps it private and never overwrites it", async () => {
  const cwd = await Deno.makeTempDir();
  for (const alg of ["RS256", "ES256", "EdDSA"]) {
    const made = succeeds(
      await runArq(["auth", "keys", "--out", alg, "--alg", alg, "--json"], { cwd }),
    );
    const { private_key, jwks } = JSON.parse(made);
    assert.equal((await Deno.stat(private_key)).mode! & 0o777, 0o600);
    assert.ok(!(await Deno.readTextFile(jwks)).includes('"d"'));
    const args = ["auth", "gen", "--key", private_key, "--issuer", "me", "--audience", "it"];
    const gen = await runArq([...args, "--tenant", "acme", "--user", "u1", "--ttl", "15m"], {
      cwd,
    });
    const claims = decodeJwt(gen.stdout.trim());
    assert.deepEqual([claims.iss, claims.aud, claims.sub, claims["tenant_id"]], [
      "me",
      "it",
      "u1",
      "acme",
    ]);
    assert.equal((claims.exp ?? 0) - (claims.iat ?? 0), 900);
    const again = await runArq(["auth", "keys", "--out", alg], { cwd });
    assert.equal(again.code, 1);
    assert.match(again.stderr, /exists already/);
  }
  await Deno.remove(cwd, { recursive: true });
});

Deno.test("suggestions name the launcher, else the checkout's task with or without npx, else arq", () => {
  assert.equal(calledAs({ ARQON_CALLED_AS: "bunx arq" }, true), "bunx arq");
  assert.equal(calledAs({ ARQON_CALLED_AS: "$(rm x)" }, false), "arq");
  assert.equal(calledAs({}, false), "arq");
  assert.equal(calledAs({ npm_command: "exec" }, false), "arq");
  assert.equal(calledAs({}, true), "deno task -q arq");
  assert.equal(calledAs({ npm_command: "exec" }, true), "npx -y deno task -q arq");
});

Deno.test("arq init prints the next commands the way it was called", async () => {
  await using folder = await folderWith({});
  const config_home = `${folder.path}/home`;
  const options = { cwd: folder.path, config_home };
  const init = (dir: string, env: Record<string, string>) =>
    runArq(["init", dir, "--json"], { ...options, env });
  const { next } = JSON.parse((await init("one", { ARQON_CALLED_AS: "npx arq" })).stdout);
  assert.deepEqual(next.slice(1), [
    "npx arq serve --config config.toml",
    `npx arq pub orders '{"item":"tea"}'`,
    "npx arq sub orders --from 0",
  ]);
  const plain = JSON.parse((await init("two", {})).stdout).next;
  assert.equal(plain[1], "deno task -q arq serve --config config.toml");
});
