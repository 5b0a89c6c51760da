/**
 * The completion scripts in their shells: bash is everywhere; zsh, fish and PowerShell if they are installed.
 * `arq/completion/completion_test.ts` tests the completions.
 */
import assert from "node:assert/strict";
import { run as runProgram } from "../../tasks/checkout/programs.ts";
import { completionScript, type Shell } from "../../arq/commands/setup/completion.ts";
import { arqCommand } from "../../arq/testing/run_arq.ts";
import { inTerminal } from "./arq_terminal.ts";

/** A line up to the cursor, and all candidates for it (bash, fish), in any order. */
const CASES: readonly (readonly [line: string, candidates: readonly string[]])[] = [
  ["arq room class ", ["list", "set", "remove", "explain"]],
  ["arq dev --embed", ["--embedded"]],
  ["arq pub lobby --ndjson mod", ["module.wasm"]],
  ["arq --context p", ["prod"]],
  ["arq pub lobby -- --js", []],
];

interface Place extends AsyncDisposable {
  readonly cwd: string;
  readonly env: Record<string, string>;
  readonly config_home: string;
}

/** A folder with a program `arq`, two contexts, a file to complete and the script of each shell. */
async function placeOf(shell: Shell): Promise<Place> {
  const cwd = await Deno.makeTempDir({ prefix: "arq-completion-" });
  const config_home = `${cwd}/config`;
  await Deno.mkdir(`${cwd}/bin`);
  await Deno.mkdir(`${config_home}/arqon`, { recursive: true });
  const command = (await arqCommand()).map((word) => `'${word}'`).join(" ");
  // Deno caches compiled code in the home of the user who runs the test.
  const start = `#!/bin/sh\nHOME='${Deno.env.get("HOME")}' exec ${command} "$@"\n`;
  await Deno.writeTextFile(`${cwd}/bin/arq`, start, { mode: 0o755 });
  const contexts = ["prod", "test"].map((name) => ({ name, url: "ws://127.0.0.1:1" }));
  await Deno.writeTextFile(`${config_home}/arqon/contexts.json`, JSON.stringify({ contexts }));
  await Deno.writeTextFile(`${cwd}/module.wasm`, "");
  await Deno.writeTextFile(`${cwd}/script`, completionScript(shell));
  const env = {
    PATH: `${cwd}/bin:/usr/local/bin:/usr/bin:/bin`,
    HOME: cwd,
    XDG_CONFIG_HOME: config_home,
    INIT_CWD: cwd,
  };
  const dispose = () => Deno.remove(cwd, { recursive: true });
  return { cwd, env, config_home, [Symbol.asyncDispose]: dispose };
}

const isInstalled = async (program: string) =>
  (await runProgram(program, ["--version"]))?.ok === true;

async function run(program: string, args: string[], { cwd, env }: Place): Promise<string> {
  const ran = await runProgram(program, args, { cwd, env });
  assert.deepEqual([ran?.code, ran?.stderr], [0, ""]);
  return ran!.stdout;
}

/** A block of lines for each case. */
function checkBlocks(output: string): void {
  const blocks = output.split("==\n").slice(0, -1);
  assert.equal(blocks.length, CASES.length, output);
  for (const [index, [line, expected]] of CASES.entries()) {
    const found = blocks[index]?.split("\n").filter((one) => one !== "").toSorted();
    assert.deepEqual(found, expected.toSorted(), line);
  }
}

Deno.test("bash completes commands, options, choices, files and contexts", async () => {
  await using place = await placeOf("bash");
  const lines = CASES.map(([line]) => {
    const words = line.split(" ").map((word) => `'${word}'`);
    return `COMP_WORDS=(${words.join(" ")}); COMP_CWORD=${words.length - 1}; _arq\n` +
      `printf '%s\\n' "\${COMPREPLY[@]}"; echo ==\n`;
  });
  // bash splits option=value into separate words.
  const cut = "COMP_WORDS=(arq auth keys --alg = Ed); COMP_CWORD=5; _arq; echo ${COMPREPLY[@]}\n";
  const output = await run("bash", ["-c", `. ./script\n${lines.join("")}${cut}`], place);
  const end = output.lastIndexOf("==\n") + 3;
  checkBlocks(output.slice(0, end));
  assert.equal(output.slice(end), "EdDSA\n");
});

Deno.test("fish completes the same, if it is installed", async () => {
  if (!await isInstalled("fish")) return;
  await using place = await placeOf("fish");
  const lines = CASES.map(([line]) => `complete -C '${line}' | string split -f 1 \\t; echo ==\n`);
  checkBlocks(await run("fish", ["-N", "-c", `source ./script\n${lines.join("")}`], place));
});

Deno.test("zsh completes at a key press, if it is installed", async () => {
  if (!await isInstalled("zsh")) return;
  await using place = await placeOf("zsh");
  const { cwd, env, config_home } = place;
  // The typed command is echoed and not run.
  const echo = 'arq() { [[ $1 = complete ]] && command arq "$@" || print -r -- "<$*>" }';
  const start = `autoload -U compinit; compinit -D -u; source ./script; ${echo}; print lo''aded`;
  const typed: [string, string][] = [
    ["arq room mem", "<room members>"],
    ["arq policy check mod", "<policy check module.wasm>"],
    ["arq status --context pr", "<status --context prod>"],
    ["arq dev --emb", "<dev --embedded>"],
  ];
  const steps = [
    { until: "ready> ", send: `${start}\n` },
    { until: "loaded", send: `${typed[0]?.[0]}\t\n` },
    ...typed.map(([, until], index) => ({
      until,
      send: index + 1 === typed.length ? "exit\n" : `${typed[index + 1]?.[0]}\t\n`,
    })),
  ];
  const where = { cwd, config_home, env: { ...env, PS1: "ready> " } };
  const seen = await inTerminal(["zsh", "-f", "-i"], steps, where);
  assert.deepEqual([seen.code, seen.waits_for], [0, undefined], seen.stdout);
});

Deno.test("PowerShell completes the same, if it is installed", async () => {
  if (!await isInstalled("pwsh")) return;
  await using place = await placeOf("powershell");
  // File names are completed by PowerShell itself, which shows them with their folder.
  const lines = CASES.map(([line]) =>
    `$line = '${line}'; (TabExpansion2 $line $line.Length).CompletionMatches | ` +
    "ForEach-Object { $_.CompletionText -replace '^\\./', '' }; '=='"
  );
  const script = `. ([scriptblock]::Create((Get-Content -Raw ./script)))\n${lines.join("\n")}`;
  checkBlocks(await run("pwsh", ["-NoProfile", "-NonInteractive", "-Command", script], place));
});
