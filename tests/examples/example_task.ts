/** An example application as a reader starts it: `deno task example:NAME`, on a free port, in its own process. */
const ROOT = new URL("../..", import.meta.url).pathname;

/** A running example. It ends with its scope. */
export interface Example extends AsyncDisposable {
  /** Its page, as the task printed it. */
  readonly url: string;
}

/** Starts the example; resolves when it has printed its page's address. */
export async function startExample(
  name: "auction" | "browser" | "chat" | "editor" | "game" | "whiteboard",
): Promise<Example> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", `example:${name}`, "0"],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let output = "";
  while (!output.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`the example ${name} has ended`);
    output += value;
  }
  return {
    url: output.trim(),
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.status;
      await reader.cancel();
    },
  };
}
