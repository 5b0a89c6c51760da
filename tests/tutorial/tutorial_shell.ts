/**
 * Does what a page tells its reader, in an empty folder and with a real bus: an `arq`, that of this
 * checkout unless another is given, a shell, real files. The bus gets free ports, which is all that differs from what the
 * page shows: where a command names the usual one of clients, it gets the one that it is.
 */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { checkoutArq } from "../../tasks/record/record_session.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { readSteps, shows, type Step } from "./tutorial_blocks.ts";

/** Where pages say that a bus listens to clients. */
const USUAL = "127.0.0.1:4000";
const FREE_PORTS = ["--port", "0", "--ops-port", "0", "--admin-port", "0"];

/** An `arq` as a reader has it. */
export interface ReadersArq {
  /** Program and first arguments. */
  readonly command: readonly string[];
  /** The same for the bus, which has to end by a signal to this very process; absent: `command`. */
  readonly bus?: readonly string[];
}

/** Brings `arq` into a reader's empty folder, or only says where it is. */
export type Install = (folder: string) => Promise<ReadersArq>;

const checkout: Install = async () => ({ command: [Deno.execPath(), ...await checkoutArq()] });

/** A reader of one page. */
class Reader implements AsyncDisposable {
  readonly #folder: string;
  readonly #arq: ReadersArq;
  readonly #running: StreamedCommand[] = [];
  #background: StreamedCommand | undefined;
  /** What the last commands printed. */
  #output = "";
  /** Where the bus listens to clients. */
  #clients = USUAL;

  constructor(folder: string, arq: ReadersArq) {
    this.#folder = folder;
    this.#arq = arq;
  }

  #start(program: string, args: readonly string[]): StreamedCommand {
    const running = new StreamedCommand(
      new Deno.Command(program, {
        args: [...args],
        cwd: this.#folder,
        // Nobody's contexts but those that the page makes; `deno task` would name its own folder.
        env: {
          XDG_CONFIG_HOME: `${this.#folder}/.config`,
          INIT_CWD: this.#folder,
          NO_COLOR: "1",
        },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn(),
    );
    this.#running.push(running);
    return running;
  }

  #shell(script: string): StreamedCommand {
    const quoted = this.#arq.command.map((word) => `'${word}'`).join(" ");
    const here = script.replaceAll(USUAL, this.#clients);
    return this.#start("sh", ["-ec", `exec 2>&1\narq() { ${quoted} "$@"; }\n${here}`]);
  }

  async #run(script: string, fails: boolean): Promise<void> {
    const running = this.#shell(script);
    this.#output = await running.ended;
    const { code } = await running.child.status;
    assert.equal(code !== 0, fails, `exit code ${code}: ${this.#output}`);
  }

  async do(step: Step): Promise<void> {
    if (step.kind === "file") {
      const path = `${this.#folder}/${step.path}`;
      await Deno.mkdir(dirname(path), { recursive: true });
      await Deno.writeTextFile(path, step.text);
    } else if (step.kind === "bus") {
      const words = step.text.trim().split(" ");
      assert.equal(words.shift(), "arq");
      const [program = "", ...first] = this.#arq.bus ?? this.#arq.command;
      const bus = this.#start(program, [...first, ...words, ...FREE_PORTS]);
      await bus.until("ArqonBus is ready");
      this.#clients = /\bws:\/\/([^/\s]+)/.exec(bus.text)?.[1] ?? USUAL;
    } else if (step.kind === "background") {
      this.#background = this.#shell(step.text);
      await this.#background.until("Subscribed");
    } else if (step.kind === "run") {
      await this.#run(step.text, step.fails);
    } else {
      if (step.kind === "background output") this.#output = await this.#background?.ended ?? "";
      assert.ok(shows(step.text, this.#output), `it printed:\n${this.#output}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const running of this.#running.reverse()) await running.stop();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** Does what a page says; rejects with the line of the page that is not so. */
export async function follow(page: string, install: Install = checkout): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "arqon_tutorial_" });
  await using reader = new Reader(folder, await install(folder));
  for (const step of readSteps(page)) {
    await reader.do(step).catch((error) => {
      throw new Error(`line ${step.line}: ${error instanceof Error ? error.message : error}`);
    });
  }
}
