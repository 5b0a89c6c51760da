/**
 * User mistakes, through the real command: one sentence with the problem, one line with the fix, an exit code; with
 * `--json` the same as one object on stderr. Needs no bus; `arq_terminal_test.ts` and the tests beside the commands
 * have refusals of a bus.
 */
import assert from "node:assert/strict";
import { folderWith } from "../../arq/testing/disk_io.ts";
import { runArq } from "../../arq/testing/run_arq.ts";

interface Case {
  readonly args: readonly string[];
  readonly code: number;
  /** In the sentence. */
  readonly says: RegExp;
  /** In the line with the fix. */
  readonly hint?: RegExp;
  readonly reason?: string;
}

const TOKEN = ["--token", "a.b.c"];
const NOBODY = "127.0.0.1:2";

const CASES: readonly Case[] = [
  {
    args: ["status", "--context", "prot"],
    code: 2,
    says: /no context "prot"/,
    hint: /did you mean prod/,
  },
  {
    args: ["room", "gte", "lobby"],
    code: 2,
    says: /unknown command 'gte'/,
    hint: /mean arq room get\?/,
  },
  { args: ["statsu"], code: 2, says: /unknown command 'statsu'/, hint: /mean arq status\?/ },
  {
    args: ["sub", "a", "--cuont", "1"],
    code: 2,
    says: /unknown option/,
    hint: /--count\?.*arq sub/,
  },
  { args: ["auth", "keys", "--alg", "X"], code: 2, says: /Allowed choices are RS256, ES256/ },
  { args: ["status", "--ops-url", "nonsense"], code: 2, says: /Expected a URL such as/ },
  {
    args: ["status", "--url", `ws://${NOBODY}`, ...TOKEN],
    code: 4,
    says: /ws:\/\/127\.0\.0\.1:2 is not a running development bus/,
    hint: /give --ops-url/,
  },
  { args: ["top", "--admin-url", "ftp://x"], code: 2, says: /Expected a URL such as/ },
  {
    args: ["pub", "a", "1", "--url", `ws://${NOBODY}`, ...TOKEN],
    code: 4,
    says: new RegExp(NOBODY),
    hint: /arq dev up/,
    reason: "unreachable",
  },
  {
    args: ["policy", "list", "--admin-url", `http://${NOBODY}`, ...TOKEN],
    code: 4,
    says: new RegExp(NOBODY),
    hint: /arq dev up/,
    reason: "unreachable",
  },
  { args: ["pub", "a", "1", "--token-file", "gone"], code: 1, says: /cannot read .*gone: No such/ },
  { args: ["auth", "keys", "--out", "file/keys"], code: 1, says: /cannot write/, hint: /writable/ },
  { args: ["init", "file/bus"], code: 1, says: /cannot write to/, hint: /arq init DIR/ },
  {
    args: ["schema", "build", "it.proto", "-o", "file/it"],
    code: 1,
    says: /cannot write/,
    hint: /writable/,
  },
  { args: ["serve", "--config", "gone.toml"], code: 2, says: /cannot read .*gone\.toml: No such/ },
  { args: ["trace", "x"], code: 2, says: /Expected 32 hex digits/, hint: /arq trace --help/ },
];

const CONTEXTS = { contexts: [{ name: "prod", url: `ws://${NOBODY}` }] };

Deno.test("an error is a sentence with its fix, and one object with --json", async () => {
  await using folder = await folderWith({
    file: "",
    "it.proto": 'syntax = "proto3"; message It {}',
    "home/arqon/contexts.json": JSON.stringify(CONTEXTS),
  });
  const options = { cwd: folder.path, config_home: `${folder.path}/home` };
  for (const { args, code, says, hint, reason } of CASES) {
    const what = `arq ${args.join(" ")}`;
    const [people, program] = await Promise.all([
      runArq([...args], options),
      runArq([...args, "--json"], options),
    ]);
    assert.deepEqual([people.code, people.stdout], [code, ""], `${what}: ${people.stderr}`);
    const [first = "", second = ""] = people.stderr.split("\n");
    assert.match(first, /^arq: /, what);
    assert.match(first, says, what);
    if (hint !== undefined) assert.match(second, hint, what);
    assert.doesNotMatch(people.stderr, /os error|--allow-|\.ts:\d|eyJ/, what);
    assert.deepEqual([program.code, program.stdout], [code, ""], `${what}: ${program.stderr}`);
    const { error, ...rest } = JSON.parse(program.stderr);
    assert.deepEqual(rest, {});
    assert.equal(error.exit, code, what);
    assert.equal(error.reason, reason, what);
    assert.match(error.message, says, what);
    if (hint !== undefined) assert.match(error.hint, hint, what);
  }
});

Deno.test("arq alone and help go to stdout with 0, a group alone to stderr with 2", async () => {
  const [alone, help, group] = await Promise.all([
    runArq([]),
    runArq(["help", "room"]),
    runArq(["room"]),
  ]);
  for (const { code, stdout, stderr } of [alone, help]) {
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^Usage: arq[^]*Exit codes:\n {2}0 {4}done/);
  }
  assert.deepEqual([group.code, group.stdout], [2, ""]);
  assert.match(group.stderr, /^Usage: arq room/);
  const json = await runArq(["room", "--json"]);
  assert.deepEqual([json.code, JSON.parse(json.stderr).error.exit], [2, 2]);
});
