/**
 * Fifty editors of one document on two Shields and a NATS: Shields are killed under them, pages are loaded
 * anew, and in the end everybody has every word once. Few editors, and what they may not: `yjs_test.ts`.
 */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Connection } from "@arqon/sdk";
import { history } from "@arqon/sdk/history";
import { YjsProvider } from "@arqon/yjs";
import * as Y from "yjs";
import { pace } from "../shared/testing/pace.ts";
import { until } from "../shared/testing/until.ts";
import { createIssuer, startServer } from "./harness/cluster.ts";
import type { Issuer, ServerProcess } from "./harness/cluster.ts";
import { freePort } from "./harness/free_ports.ts";
import { startNats } from "./harness/nats_server.ts";

const EDITORS = 50;
const WORDS = 12;
const ROOM = "doc-many";
const LIMIT_MS = 150_000;
const CLASS = `
[[rooms]]
room = "doc-*"
durable = true
history_size = 5_000
`;

/** A Shield that may be killed and started again on its port. */
class MortalShield {
  readonly port: number;
  readonly #start: () => Promise<ServerProcess>;
  #process: ServerProcess | undefined;

  constructor(config: string, { dir }: Issuer, name: string) {
    this.port = freePort();
    const line = `node_id = "${name}"`;
    this.#start = () => startServer("shield", config, dir, line, this.port);
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.#process = await this.#start();
  }

  async stop(signal: Deno.Signal): Promise<void> {
    await this.#process?.stop(signal);
  }
}

/** One of the fifty: writes words, and may load its page anew in between. */
class Editor {
  readonly name: string;
  readonly doc: Y.Doc = new Y.Doc();
  readonly errors: unknown[] = [];
  written = 0;
  #bus: Connection | undefined;
  #provider: YjsProvider | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get text(): string {
    return this.doc.getText("body").toString();
  }

  async open(url: string, token: string): Promise<void> {
    const backoff = { base_ms: 20, max_ms: 200 };
    this.#bus = await connect({ url, token, backoff, initial_attempts: 1_000 });
    this.#provider = new YjsProvider(this.#bus.room(ROOM), this.doc, { snapshot_updates: 60 });
    await this.#provider.ready;
  }

  /** Writes a word at some place of the text: between letters of others, too. */
  write(): void {
    const text = this.doc.getText("body");
    const at = (this.written * 7_919 + this.name.length * 31) % (text.length + 1);
    text.insert(at, `{${this.name}.${this.written}}`);
    this.written += 1;
  }

  async saved(): Promise<void> {
    await this.#provider?.saved();
  }

  async close(): Promise<void> {
    this.#provider?.destroy();
    await this.#bus?.close();
  }
}

/** Words may stand inside of others, so they are counted by their ends. */
function countOf(text: string): number {
  return text.split("}").length - 1;
}

async function editAndKill(shields: readonly MortalShield[], issuer: Issuer): Promise<void> {
  const editors = Array.from({ length: EDITORS }, (_, at) => new Editor(`e${at}`));
  const open = async (editor: Editor, at: number) => {
    const token = await issuer.tokenFor({ sub: editor.name });
    await editor.open(shields[at % shields.length]!.url, token);
  };
  await Promise.all(editors.map(open));
  const writing = Promise.all(editors.map(async (editor, at) => {
    for (let word = 0; word < WORDS; word += 1) {
      editor.write();
      // Some wait until it is stored, the others write on, whatever the bus does.
      if (at % 3 === 0) await editor.saved();
      else await pace(50 + at);
      if (word === 4 && at % 10 === 0) {
        await editor.close();
        await open(editor, at + 1);
      }
    }
  }));
  const progress = (words: number) => () =>
    editors.reduce((sum, { written }) => sum + written, 0) >= words;
  for (const [at, words] of [[0, 100], [1, 250]] as const) {
    await until(`${words} words are written`, progress(words), LIMIT_MS);
    const shield = shields[at]!;
    await shield.stop("SIGKILL");
    await shield.start();
  }
  await writing;
  await Promise.all(editors.map((editor) => editor.saved()));
  const [first] = editors as [Editor];
  await until(
    () => `all have ${EDITORS * WORDS} words: ${editors.map(({ text }) => countOf(text))}`,
    () => editors.every(({ text }) => text === first.text && countOf(text) === EDITORS * WORDS),
    LIMIT_MS,
  );
  const late = new Editor("late");
  await open(late, 0);
  assert.equal(late.text, first.text);
  for (const editor of [...editors, late]) await editor.close();
  const bus = await connect({ url: shields[0]!.url, token: await issuer.tokenFor() });
  const marks = await history(bus.room(ROOM), { filter: 'type == "yjs.mark"' });
  assert.ok(marks.messages.length > 0, "snapshots were made meanwhile");
  await bus.close();
}

Deno.test("yjs: fifty editors, pages loaded anew, Shields killed", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config = `[nats]\nurls = ["${nats.url}"]\n${CLASS}${issuer.config}`;
  await using _brain = await startServer("brain", config, issuer.dir);
  const shields = ["shield-0", "shield-1"].map((name) => new MortalShield(config, issuer, name));
  try {
    await Promise.all(shields.map((shield) => shield.start()));
    await editAndKill(shields, issuer);
  } finally {
    await Promise.all(shields.map((shield) => shield.stop("SIGKILL")));
  }
});
