/** The process of tabs: started, killed in the middle, and started again, as somebody who reloads. */
import type { Heard } from "./reader.ts";

const TAB = new URL("tab.ts", import.meta.url).pathname;

/** Tabs that are there until they are killed. */
export class Tabs {
  readonly #args: readonly string[];
  readonly #tell: (heard: Heard) => void;
  #child: Deno.ChildProcess | undefined;
  #reading: Promise<void> | undefined;
  /** How often they were killed. */
  killed = 0;

  constructor(
    urls: readonly string[],
    token: string,
    rooms: readonly string[],
    tell: (heard: Heard) => void,
  ) {
    this.#args = [urls.join(","), token, rooms.join(",")];
    this.#tell = tell;
  }

  /** Opens them. */
  open(): void {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--allow-net", TAB, ...this.#args],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reading = this.#read(this.#child);
  }

  /** Kills them, without a goodbye. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.status;
    await this.#reading;
    this.killed++;
  }

  async #read(child: Deno.ChildProcess): Promise<void> {
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) this.#tell(JSON.parse(line));
    }
  }
}
