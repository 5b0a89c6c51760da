/**
 * Who adds an opcode, a kind of payload, a hook or an event of the Spine is told by the compiler where
 * it is missing: of every switch that ends with `satisfies never`, each case is left out once, in a
 * copy of the checkout, and `deno check` must refuse that switch. Each file without a case is a file
 * of its own beside the original, so that one run of the compiler reads them all.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import ts from "typescript";
import { isProduct, listFiles, ROOT } from "../tasks/checkout/source_files.ts";
import { neverDefault, switchesOf } from "../tasks/rules/switch_rules.ts";

/** How many such switches the files have at least in which the closed unions of the bus come apart. */
const KNOWN: Readonly<Record<string, number>> = {
  // Opcodes, in both directions, and the operations of the text form.
  "proto/frame/frame.ts": 2,
  "proto/text/text.ts": 1,
  "sdk/typescript/connection/session.ts": 1,
  // Payloads.
  "proto/envelope/scan.ts": 1,
  "proto/text/text_encode.ts": 1,
  "shield/message/pipeline.ts": 1,
  "shield/connection/operations.ts": 2,
  "shield/http/http_publish.ts": 1,
  // Hooks.
  "shield/policy/chain/chain.ts": 1,
  "arq/policies/policy_trial.ts": 1,
  // Signals, what a client does about a refusal, commands of rooms.
  "shield/signals/signals.ts": 1,
  "shield/signals/signal_writes.ts": 2,
  "sdk/typescript/connection/close_reaction.ts": 1,
  "brain/rooms/commands/request.ts": 2,
  "brain/rooms/commands/apply.ts": 1,
  // Events of the Spine and messages between processes.
  "shield/fanout/hub_losses.ts": 1,
  "shield/durable/log/watch.ts": 1,
  "shield/presence/presence.ts": 2,
  "brain/presence/presence.ts": 1,
};

/** A file with one case less. */
interface Shortened {
  readonly path: string;
  readonly text: string;
  /** Where the switch stands in it, from 1. */
  readonly first_line: number;
  readonly last_line: number;
  readonly left_out: string;
}

const lineAt = (text: string, at: number) => text.slice(0, at).split("\n").length;

/** `path` without each of its cases in turn. A case that shares its lines with others loses its label. */
function shortenings(path: string, source: ts.SourceFile): Shortened[] {
  const found: Shortened[] = [];
  for (const node of switchesOf(source).filter(neverDefault)) {
    for (const clause of node.caseBlock.clauses.filter(ts.isCaseClause)) {
      const text = source.text.slice(0, clause.getStart(source)) + source.text.slice(clause.end);
      const start = node.getStart(source);
      found.push({
        path: path.replace(/\.ts$/, `_without_${found.length}.ts`),
        text,
        first_line: lineAt(text, start),
        last_line: lineAt(text, node.end - (clause.end - clause.getStart(source))),
        left_out: `${path}: ${clause.expression.getText(source)}`,
      });
    }
  }
  return found;
}

/** Everything that the compiler needs, in a folder of its own. */
async function copyCheckout(to: string): Promise<void> {
  for (const path of await listFiles([""])) {
    if (/^(docs|deploy|bench\/results|tests)\//.test(path)) continue;
    await Deno.mkdir(join(to, dirname(path)), { recursive: true });
    await Deno.copyFile(ROOT + path, join(to, path));
  }
}

/** What `deno check` says of files: the lines of each at which a value is no `never`, and its text. */
async function check(folder: string, paths: readonly string[]) {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["check", "--frozen", ...paths],
    cwd: folder,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder().decode(stderr);
  const refused = new Map<string, number[]>();
  const pattern = /^(TS\d+) \[ERROR\]:[^]*?^ +at file:\/\/(\S+?\.ts):(\d+):\d+$/gm;
  for (const [, code = "", file = "", line] of text.matchAll(pattern)) {
    if (code !== "TS1360") continue;
    const path = file.slice(file.indexOf(folder) + folder.length + 1);
    refused.set(path, [...refused.get(path) ?? [], Number(line)]);
  }
  return { success, refused, text };
}

Deno.test("a case that is left out does not compile", async () => {
  const paths = (await listFiles([".ts"])).filter(isProduct);
  const sources = await Promise.all(paths.map(async (path) => {
    const text = await Deno.readTextFile(ROOT + path);
    return [path, ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true)] as const;
  }));
  for (const [path, least] of Object.entries(KNOWN)) {
    const source = sources.find(([one]) => one === path)?.[1];
    const switches = source === undefined ? [] : switchesOf(source).filter(neverDefault);
    assert.ok(switches.length >= least, `${path} has ${switches.length} exhaustive switches`);
  }
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "arqon-unions-" }));
  try {
    await copyCheckout(folder);
    const whole = sources.map(([path]) => path);
    const before = await check(folder, whole.filter((path) => path in KNOWN));
    assert.ok(before.success, `the copy does not compile as it is\n${before.text}`);
    const all = sources.flatMap(([path, source]) => shortenings(path, source));
    for (const { path, text } of all) await Deno.writeTextFile(join(folder, path), text);
    const { refused, text } = await check(folder, all.map(({ path }) => path));
    const silent = all.filter(({ path, first_line, last_line }) => {
      const lines = refused.get(path) ?? [];
      return !lines.some((line) => line >= first_line && line <= last_line);
    });
    assert.deepEqual(silent.map(({ left_out }) => left_out), [], text.slice(0, 4_000));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
